// What this build is.

export const version = '0.1.0';

/** No clock that shows less can be right: an agent whose clock is before it does not judge certificates' dates. */
export const builtAtMs = Date.UTC(2026, 10, 1);
