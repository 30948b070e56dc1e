// After a device was changed: what is shown of it is read again.
import type { DeviceView } from '#api/shapes.ts';
import { deviceQuery, queryClient } from '../queries.ts';

export async function refreshDevice(device?: DeviceView): Promise<void> {
  if (device) queryClient.setQueryData(deviceQuery(device.label).queryKey, device);
  await Promise.all(['device', 'devices', 'agent', 'visits'].map((key) => queryClient.invalidateQueries({ queryKey: [key] })));
}
