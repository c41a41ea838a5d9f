/** A client of Fanwire: see README.md. */
export { type BroadcastEvent, type Broadcasts } from "./broadcasts.js";
export {
  type Client, type ClientEvent, type HistoryOptions, type MembersOptions, type Page, type PublishOptions, connect,
} from "./client.js";
export { type Codec, json } from "./codec.js";
export { type Socket, type SocketClass } from "./connection.js";
export { type ErrorCode, FanwireError } from "./error.js";
export { type Options } from "./options.js";
export { type Position } from "./position.js";
export { type Dropped, type Ended } from "./stream.js";
export { type ChannelEvent, type SubscribeOptions, type Subscription } from "./subscription.js";
export { type Outcome } from "./track.js";
export { type TrackedEvent } from "./tracked.js";
export { type ConnectionId, type Member, type Publication, type Welcome } from "./wire.js";
