// What browsers offer to pages on https and on this machine only; teams also use a plain address.

/** Make a random uuid (RFC 9562, version 4). */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/**
 * Run while no other tab runs under this name. Where browsers cannot promise that, two tabs may
 * send the same decision; the server takes it once.
 */
export function alone(name, run) {
  return navigator.locks ? navigator.locks.request(name, run) : run();
}
