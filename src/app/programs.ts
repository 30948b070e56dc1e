// Which program a shape was made of: drivers list programs by their User-Agent. Anybody can send as many as he likes, and must not push off those of devices.

export interface Programs {
  /** A client showed it. */
  note(shape: string, userAgent: string): void;
  /** It was a device's. */
  keep(shape: string): void;
  of(shape: string): string | undefined;
}

const userAgentCharsMax = 512;

export function buildPrograms(programsMax: number): Programs {
  const devices = new Map<string, string>();
  /** Those that nobody was known by yet. */
  const others = new Map<string, string>();
  const put = (into: Map<string, string>, shape: string, userAgent: string) => {
    if (into.size >= programsMax) into.delete(into.keys().next().value!);
    into.set(shape, userAgent);
  };
  return {
    note(shape, userAgent) {
      if (!devices.has(shape) && !others.has(shape)) put(others, shape, userAgent.slice(0, userAgentCharsMax));
    },
    keep(shape) {
      const userAgent = others.get(shape);
      if (userAgent === undefined) return;
      others.delete(shape);
      put(devices, shape, userAgent);
    },
    of: (shape) => devices.get(shape) ?? others.get(shape),
  };
}
