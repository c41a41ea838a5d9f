/** How messages are spelt. `fanwire/msgpack` has another one than this module's `json`. */
export interface Codec {
  /** The WebSocket subprotocol. */
  readonly protocol: string;
  /** A command as a message; `content` and `info` may be a `Uint8Array`. */
  encode(command: Record<string, unknown>): string | Uint8Array<ArrayBuffer>;
  /** A message as an event; throws if it is none. */
  decode(message: string | ArrayBuffer): unknown;
}

type Fields = Record<string, unknown>;

/** `fanwire.v1.json`. Content that is wholly binary is base64 there (RFC 4648, section 4), and a `Uint8Array` here. */
export const json: Codec = {
  protocol: "fanwire.v1.json",
  encode: (command) => JSON.stringify(Object.fromEntries(Object.entries(command).map(spell))),
  decode(message) {
    const event = JSON.parse(message as string) as Fields;
    [event, ...list(event["publications"]), ...list(event["members"])].forEach(read);
    return event;
  },
};

const spell = ([key, value]: [string, unknown]): [string, unknown] =>
  value instanceof Uint8Array ? [`${key}_base64`, btoa(letters(value))] : [key, value];

const letters = (bytes: Uint8Array): string => {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
};

const list = (value: unknown): Fields[] => (Array.isArray(value) ? value : []);

function read(fields: Fields): void {
  for (const key of ["content", "info"]) {
    const text = fields[`${key}_base64`];
    if (typeof text === "string") fields[key] = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  }
}
