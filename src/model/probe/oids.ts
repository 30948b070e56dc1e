// The standard OIDs that every device is asked, and what the numbers in their answers mean. RFC 1213, 2790, 3805, 6933; IANA-PRINTER-MIB; PWG 5107.1.

export const vendorArc = '1.3.6.1.4.1';

export const oids = {
  sysDescr: '1.3.6.1.2.1.1.1.0',
  sysObjectId: '1.3.6.1.2.1.1.2.0',
  sysUpTime: '1.3.6.1.2.1.1.3.0',
  sysName: '1.3.6.1.2.1.1.5.0',
  sysLocation: '1.3.6.1.2.1.1.6.0',
  hrDeviceDescr: '1.3.6.1.2.1.25.3.2.1.3.{printer}',
  hrPrinterStatus: '1.3.6.1.2.1.25.3.5.1.1.{printer}',
  hrPrinterDetectedErrorState: '1.3.6.1.2.1.25.3.5.1.2.{printer}',
  prtGeneralPrinterName: '1.3.6.1.2.1.43.5.1.1.16.{printer}',
  prtGeneralSerialNumber: '1.3.6.1.2.1.43.5.1.1.17.{printer}',
  prtMarkerLifeCount: '1.3.6.1.2.1.43.10.2.1.4.{printer}.1',
  entPhysicalSerialNum: '1.3.6.1.2.1.47.1.1.1.1.11.1',
  entPhysicalModelName: '1.3.6.1.2.1.47.1.1.1.1.13.1',
  ppmPrinterName: '1.3.6.1.4.1.2699.1.2.1.2.1.1.2.1',
  ppmPrinterIEEE1284DeviceId: '1.3.6.1.4.1.2699.1.2.1.2.1.1.3.1',
} as const;

/** Columns and tables that are walked. */
export const roots = {
  hrDeviceType: '1.3.6.1.2.1.25.3.2.1.2',
  ifPhysAddress: '1.3.6.1.2.1.2.2.1.6',
  ipAdEntIfIndex: '1.3.6.1.2.1.4.20.1.2',
  prtInput: '1.3.6.1.2.1.43.8.2.1',
  prtMarkerSupplies: '1.3.6.1.2.1.43.11.1.1',
  prtMarkerColorantValue: '1.3.6.1.2.1.43.12.1.1.4',
  prtMediaPathType: '1.3.6.1.2.1.43.13.4.1.9',
  prtInterpreterLangFamily: '1.3.6.1.2.1.43.15.1.1.2',
} as const;

export const hrDevicePrinter = '1.3.6.1.2.1.25.3.1.5';

/** hrPrinterStatus. */
export const printerStatus: ReadonlyMap<number, string> = new Map([[1, 'other'], [2, 'unknown'], [3, 'idle'], [4, 'printing'], [5, 'warmup']]);

/** hrPrinterDetectedErrorState, the most significant bit of the first byte first. */
export const printerErrors: readonly string[] = [
  'low-paper', 'no-paper', 'low-toner', 'no-toner', 'door-open', 'jammed', 'offline', 'service-requested',
  'input-tray-missing', 'output-tray-missing', 'marker-supply-missing', 'output-near-full', 'output-full', 'input-tray-empty', 'overdue-preventive-maintenance',
];

/** PrtMarkerSuppliesTypeTC from 1 on, as IPP writes them (PWG 5100.9); cartridges are what is in them. */
const supplyTypeNames = [
  'other', 'unknown', 'toner', 'waste-toner', 'ink', 'ink', 'ink-ribbon', 'waste-ink', 'opc', 'developer', 'fuser-oil', 'solid-wax', 'ribbon-wax', 'waste-wax', 'fuser', 'corona-wire',
  'fuser-oil-wick', 'cleaner-unit', 'fuser-cleaning-pad', 'transfer-unit', 'toner', 'fuser-oiler', 'water', 'waste-water', 'glue-water-additive', 'waste-paper', 'binding-supply',
  'banding-supply', 'stitching-wire', 'shrink-wrap', 'paper-wrap', 'staples', 'inserts', 'covers', 'matte-toner', 'matte-ink',
];
export const supplyType = (number: number | null): string => supplyTypeNames[(number ?? 2) - 1] ?? 'unknown';

/** PrtMarkerSuppliesSupplyUnitTC and PrtCapacityUnitTC, which agree where both have a number. */
export const units: ReadonlyMap<number, string> = new Map([
  [3, 'ten-thousandths of inches'], [4, 'micrometres'], [7, 'impressions'], [8, 'sheets'], [11, 'hours'], [12, 'thousandths of ounces'], [13, 'tenths of grams'],
  [14, 'hundredths of fluid ounces'], [15, 'tenths of millilitres'], [16, 'feet'], [17, 'metres'], [18, 'items'], [19, 'percent'],
]);

/** PrtInputTypeTC. */
export const inputType = (number: number | null): string => ({ 5: 'manual', 6: 'roll', 7: 'fanfold', 8: 'pull' })[number ?? 0] ?? 'tray';

/** PrtInterpreterLangFamilyTC from 1 on; empty: says nothing of a language. */
const languageNames = [
  '', '', 'pcl', 'hpgl', 'pjl', 'ps', 'ipds', 'ppds', 'escapep', 'epson', 'ddif', 'interpress', 'iso6429', 'line-data', 'modca', 'regis', 'scs', 'spdl', 'tek4014', 'pds', 'igp', 'code-v',
  'dsc-dse', 'wps', 'ln03', 'ccitt', 'quic', 'cpap', 'dec-ppl', 'simple-text', 'npap', 'doc', 'impress', 'pinwriter', 'npdl', 'nec201pl', '', 'pages', 'lips', 'tiff', '', 'ps-printer',
  'capsl', 'excl', 'lcds', 'xes', 'pclxl', 'art', 'tipsi', 'prescribe', 'line-printer', 'idp', 'xjcl', 'pdf', 'rpdl', 'intermec-ipl', 'ubi-fingerprint', 'ubi-direct-protocol', 'fujitsu',
  'cgm', 'jpeg', 'cals1', 'cals2', 'nirs', 'c4', 'xps', 'openxps', 'jdf', 'jmf', 'ppml', 'xhtml-print', 'pdf-is', 'pdf-1.3', 'pdf-1.4', 'pdf-1.5', 'pdf-1.6', 'pdf-1.7', 'ps2', 'ps3', 'pcl3',
  'pcl3-gui', 'pcl5e', 'pcl5c', 'pwg-raster', 'apple-raster',
];
export const languageOf = (number: number): string | null => languageNames[number - 1] || null;
