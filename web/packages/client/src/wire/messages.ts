/** The messages of the wire, and names for what they are made of. Lengths and positions of text are code points. */

import type { OperationFate, Participant, Operation as WireOperation } from "./generated/messages.ts";

export type * from "./generated/messages.ts";
export type { Error as ErrorMessage } from "./generated/messages.ts";

export type OperationType = WireOperation["operationType"];
export type Payload = WireOperation["payload"];
export type Fate = OperationFate["fate"];
export type Role = Participant["role"];

/** How an operation is written on the wire: the fields that an Operation, a ChainElement and a Committed share. */
export interface WireForm {
  operationType: OperationType;
  position: number;
  payload: Payload;
}
