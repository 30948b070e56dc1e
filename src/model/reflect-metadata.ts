// tsyringe, which @peculiar/x509 is built on, refuses to load without the metadata functions of a proposal that never became
// part of the language. It asks for three of them and only stores and reads its own injection tokens; these are those three.
// Imported for its effect, before the library.
const kept = new WeakMap<object, Map<unknown, unknown>>();

const own = (key: unknown, target: object): unknown => kept.get(target)?.get(key);

if (!('getMetadata' in Reflect)) {
  Object.assign(Reflect, {
    defineMetadata(key: unknown, value: unknown, target: object): void {
      const metadata = kept.get(target);
      if (metadata) metadata.set(key, value);
      else kept.set(target, new Map([[key, value]]));
    },
    getOwnMetadata: own,
    // acme-client brings the package reflect-metadata, which asks whoever was here before for these.
    hasOwnMetadata: (key: unknown, target: object): boolean => kept.get(target)?.has(key) === true,
    getOwnMetadataKeys: (target: object): unknown[] => [...(kept.get(target)?.keys() ?? [])],
    deleteMetadata: (key: unknown, target: object): boolean => kept.get(target)?.delete(key) === true,
    getMetadata(key: unknown, target: object): unknown {
      for (let at: object | null = target; at; at = Object.getPrototypeOf(at) as object | null) {
        const value = own(key, at);
        if (value !== undefined) return value;
      }
      return undefined;
    },
  });
}
