// Files that devices bring (docs/wire/device.md §7): the rows, and what the store does with them. The bytes are files of the data folder.
import type { Id } from '#base/ids.ts';
import type { AuditEntry } from './rows.ts';

/** One version of a device's named file. */
export interface DeviceFile {
  readonly id: Id;
  readonly customerId: Id;
  readonly deviceId: Id;
  readonly name: string;
  readonly bytes: number;
  /** Hex; it names the bytes in the data folder. */
  readonly sha256: string;
  /** Content-Type as the device sent it; '' without. Never believed. */
  readonly type: string;
  /** The address that it came from. */
  readonly from: string;
  readonly createdAt: number;
  /** When a newer version came; null: it is the newest. */
  readonly replacedAt: number | null;
}

/** A file on its way in parts. */
export interface Upload {
  /** Also part of its address, so 128 random bits in hex. */
  readonly id: string;
  readonly customerId: Id;
  readonly deviceId: Id;
  readonly name: string;
  readonly type: string;
  readonly from: string;
  /** Hex, of the whole, as announced; null: it was not. */
  readonly sha256: string | null;
  /** Of the whole; null: not known yet. */
  readonly length: number | null;
  /** Bytes that are on the disk. */
  readonly received: number;
  readonly createdAt: number;
  readonly expiresAt: number;
  /** It stays for a while after, so that a device that lost the answer learns of it. */
  readonly completedAt: number | null;
}

export interface FileBounds {
  /** Versions included. */
  readonly filesPerDeviceMax: number;
  readonly bytesPerDeviceMax: number;
  readonly bytesPerCustomerMax: number;
}

export interface AddedFile {
  readonly kind: 'stored' | 'replaced' | 'repeat';
  /** For a repeat the one that was there. */
  readonly file: DeviceFile;
  /** Digests that no row names any more: their bytes can go. */
  readonly unnamed: readonly string[];
}

/** The newest first; `beforeId` is the last one seen. */
export interface FileQuery {
  readonly limit: number;
  readonly beforeId?: Id;
  readonly deviceId?: Id;
  readonly name?: string;
  /** Without versions that were replaced. */
  readonly newest?: boolean;
}

/** Rows of a device that is removed go with it. */
export interface FileOperations {
  /**
   * A new version, unless the newest of that name has the same digest. Versions that were replaced go, the oldest first, where the bounds demand it; Fault `too-many`
   * (detail `full`) when that is not enough. With `uploadId` that upload is completed in the same transaction: Fault `gone` when it was already, or is not there.
   */
  addFile(file: DeviceFile, bounds: FileBounds, uploadId: string | null): Promise<AddedFile>;
  newestFile(deviceId: Id, name: string): Promise<DeviceFile | null>;
  readFile(id: Id): Promise<DeviceFile | null>;
  listFiles(query: FileQuery): Promise<DeviceFile[]>;
  /** Resolves the digests that no row names any more. */
  removeFile(id: Id, audit: AuditEntry): Promise<readonly string[]>;
  /** Retention: those that came before, and the oldest of what is over the bound; at most `limit` at once. */
  dropFiles(bounds: { readonly before?: number; readonly bytesMax?: number }, limit: number): Promise<{ readonly dropped: number; readonly bytes: number; readonly unnamed: readonly string[] }>;
  /** Of these, those that no row names. */
  unnamedDigests(digests: readonly string[]): Promise<readonly string[]>;

  /** Unfinished ones of the same device and name are given up: resolves their ids. Fault `too-many`. */
  addUpload(upload: Upload, uploadsPerDeviceMax: number): Promise<readonly string[]>;
  /** How much of it is on the disk now, and its length if that became known. Fault `gone`. */
  noteUpload(id: string, received: number, length: number | null): Promise<void>;
  readUpload(id: string): Promise<Upload | null>;
  removeUpload(id: string): Promise<void>;
  /** Those that expired; resolves their ids. */
  dropUploads(before: number): Promise<readonly string[]>;
  openUploads(): Promise<readonly string[]>;
}
