/** When to try again, in milliseconds: not before `least`; `soon` where other nodes are known to take over. */
export interface Pace {
  readonly least: number;
  readonly soon: boolean;
}

/** Done; or this client's fault, which it would repeat; or the operator's wish. */
const FINAL = [1000, 1002, 1003, 1007, 1008, 1010, 3000, 3003, 4403];
/** The token has expired; or none came in time. */
const TOKEN = [4401, 4408];

/**
 * When to connect again after a connection ended with `code`, `undefined` if that would be useless; `renewable` says
 * whether another token can be had. Codes of RFC 6455, section 7.4.1, and of IANA's registry; from 4400 on Fanwire's own.
 */
export function pace(code: number, renewable: boolean): Pace | undefined {
  if (FINAL.includes(code) || (TOKEN.includes(code) && !renewable)) return undefined;
  return { least: code === 1013 ? 1000 : 0, soon: code === 1012 };
}
