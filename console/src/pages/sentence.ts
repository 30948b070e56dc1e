// The gateway's reasons are parts of sentences; here they stand alone.

export const sentence = (why: string): string => (why === '' ? '' : `${why.charAt(0).toUpperCase()}${why.slice(1)}${/[.!?]$/.test(why) ? '' : '.'}`);
