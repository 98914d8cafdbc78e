// Reads what export/base91.py writes: bytes as text that JSON and HTML take as it is, in 1.23 characters per byte.

const VALUES = new Uint8Array(128);
let count = 0;
for (let code = 0x21; code < 0x7f; code++) {
  if (code !== 0x22 && code !== 0x5c && code !== 0x3c) VALUES[code] = count++;
}

/** From basE91 to bytes. */
export function decodeBase91(text) {
  const bytes = new Uint8Array(Math.ceil((text.length * 14) / 16) + 1);
  let at = 0;
  let value = 0;
  let bits = 0;
  for (let place = 0; place + 1 < text.length; place += 2) {
    const part = VALUES[text.charCodeAt(place)] + 91 * VALUES[text.charCodeAt(place + 1)];
    value |= part << bits;
    bits += (part & 8191) > 88 ? 13 : 14;
    while (bits > 7) {
      bytes[at++] = value & 255;
      value >>>= 8;
      bits -= 8;
    }
  }
  if (text.length % 2) bytes[at++] = (value | (VALUES[text.charCodeAt(text.length - 1)] << bits)) & 255;
  return bytes.slice(0, at);
}
