// Linux's /proc/net/arp (proc_net(5)): which MAC answers for which IPv4 address in the networks that this machine is in.

/** Lower case MACs by address. Entries that nobody answered for are left out; so is what does not look like the file. */
export function parseArpTable(text: string, entriesMax: number): ReadonlyMap<string, string> {
  const macs = new Map<string, string>();
  for (const line of text.split('\n').slice(1)) {
    if (macs.size >= entriesMax) break;
    const match = /^(\d{1,3}(?:\.\d{1,3}){3})\s+0x[0-9a-f]+\s+0x([0-9a-f]+)\s+((?:[0-9a-f]{2}:){5}[0-9a-f]{2})\s/i.exec(line);
    // ATF_COM of <net/if_arp.h>: complete.
    if (!match || (Number.parseInt(match[2]!, 16) & 2) === 0 || match[3] === '00:00:00:00:00:00') continue;
    macs.set(match[1]!, match[3]!.toLowerCase());
  }
  return macs;
}
