// A server as people call it: this gateway stands among the servers of a rule as "here".
import { text } from '../text.ts';

export const serverName = (name: string): string => (name === 'here' ? text.fleet.redirects.here : name);
