// The telephone systems whose call records are known (presets.ts).
export const presetNames = ['3cx', 'asterisk', 'avaya-ipoffice', 'cisco-cmr', 'cisco-cucm', 'cisco-voip-syslog', 'freeswitch', 'innovaphone', 'panasonic', 'smdr'] as const;
export type PresetName = (typeof presetNames)[number];
