// What a device can do beyond printing: no standard table says it, so it is told by the driver or inferred from how the device describes itself.
import type { Profile } from '../place-rows.ts';
import { functionNames, type Driver, type FunctionName } from './driver.ts';
import type { DeviceId } from './texts.ts';

export interface FunctionFacts {
  readonly driver: Driver;
  /** The tables of a printer answered, or IPP did. */
  readonly printer: boolean;
  /** sysDescr, descriptions, models. */
  readonly texts: readonly (string | null)[];
  readonly ids: readonly DeviceId[];
}

/** `RICOH Network Scanner C model`, `Multifunction`, `MFC-L8900CDW`, `CLS:PRINTER,SCANNER` … Not `All-N-1`, which Lexmark writes on plain printers, too. */
const multifunction = /\bmf[pc]\b|multi-?function|all-in-one|\bmfc-|\bdcp-/i;
const words: Readonly<Record<FunctionName, RegExp>> = {
  print: /\bprint(?:er|ing)?\b/i,
  copy: /\bcop(?:y|ier)\b|digital copier/i,
  scan: /\bscan(?:ner|ning)?\b/i,
  fax: /\bfax\b|facsimile/i,
};

/** null where nothing tells: a description that names no scanner does not say that there is none. */
export function inferFunctions(facts: FunctionFacts): Profile['functions'] {
  const { driver } = facts;
  const fromIds = facts.ids.flatMap((id) => [id.get('CLS'), id.get('CMD'), id.get('DES')]);
  const said = [...facts.texts, ...fromIds].filter((text) => typeof text === 'string').join('\n').slice(0, 2_000);
  const several = multifunction.test(said);
  const told = (name: FunctionName): boolean | null => {
    const given = driver.functions[name];
    if (typeof given === 'boolean') return given;
    if (given?.test(said)) return true;
    if (words[name].test(said)) return true;
    if (name === 'print') return facts.printer ? true : null;
    return several && name !== 'fax' ? true : null;
  };
  const [print, copy, scan, fax] = functionNames.map(told) as [boolean | null, boolean | null, boolean | null, boolean | null];
  return { print, copy, scan, fax };
}
