// A source by its settings.
import type { Framing, SourceSettings } from '../source-settings.ts';
import { openFile } from './file.ts';
import { openHttpPoll } from './http-poll.ts';
import { openSerial } from './serial.ts';
import type { Source, SourceDeps } from './source.ts';
import { openSyslog } from './syslog.ts';
import { openTcpConnect } from './tcp-connect.ts';
import { openTcpListen } from './tcp-listen.ts';

/** What cannot be opened now is tried again; the status says why. */
export async function openSource(settings: SourceSettings, framing: Framing, deps: SourceDeps): Promise<Source> {
  switch (settings.kind) {
    case 'tcp-listen':
      return openTcpListen(settings, framing, deps);
    case 'tcp-connect':
      return openTcpConnect(settings, framing, deps);
    case 'serial':
      return openSerial(settings, framing, deps);
    case 'file':
      return openFile(settings, framing, deps);
    case 'syslog':
      return openSyslog(settings, deps);
    case 'http-poll':
      return openHttpPoll(settings, deps);
  }
}
