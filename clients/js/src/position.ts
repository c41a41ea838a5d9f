/** A place in a history: everything up to publication `offset` (from 1; 0 is before the first) of history `epoch`. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/** Whether everything up to `other` lies before `place`, in the same history. */
export const reaches = (place: Position, other: Position): boolean =>
  place.epoch === other.epoch && place.offset >= other.offset;
