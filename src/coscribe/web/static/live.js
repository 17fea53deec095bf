// @ts-check
/** A document as it is now, over the WebSocket: joins, follows, and begins anew after every gap or loss. */

import { Problem } from "./api.js";
import { editsOf, Text } from "./text.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
const PING_EVERY = 20_000;
const SILENCE = 50_000;

/** After these the same credential gets nowhere; a new one may. */
const CREDENTIAL_ENDED = new Set(["session_ended", "authentication_failed"]);

/**
 * @typedef {object} Listener
 * @property {(text: string, version: number) => void} text
 * @property {(state: "connecting" | "live" | "offline") => void} state
 * @property {(role: string) => void} role
 * @property {(people: Person[]) => void} people
 * @property {(problem: Problem) => void} ended nothing more comes
 */

/** @typedef {{connectionId: string, userId: string, displayName: string, color: string}} Person */

export class Live {
  /**
   * @param {string} documentId
   * @param {() => Promise<string>} token gives a fresh access token
   * @param {Listener} listener
   */
  constructor(documentId, token, listener) {
    this.documentId = documentId;
    this.token = token;
    this.listener = listener;
    this.text = new Text("");
    this.sequence = 0;
    /** @type {Map<string, Person>} */
    this.people = new Map();
    this.wait = FIRST_WAIT;
    this.heardAt = 0;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.isOver = false;
    this.retry = 0;
    this.pinging = 0;
    this.soon = () => this.reconnectAfter(0);
  }

  start() {
    addEventListener("online", this.soon);
    this.pinging = setInterval(() => this.ping(), PING_EVERY);
    void this.connect();
  }

  stop() {
    this.isOver = true;
    removeEventListener("online", this.soon);
    clearInterval(this.pinging);
    clearTimeout(this.retry);
    this.socket?.close();
  }

  async connect() {
    this.listener.state("connecting");
    let token;
    try {
      token = await this.token();
    } catch (error) {
      if (error instanceof Problem && !error.isUncertain && error.status !== 429) this.end(error);
      else this.reconnectAfter(this.wait);
      return;
    }
    if (this.isOver) return;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = (this.socket = new WebSocket(`${scheme}://${location.host}/ws`));
    socket.onopen = () => this.send({ type: "hello", protocol: [1], token, client: "coscribe-page" });
    socket.onmessage = (event) => {
      this.heardAt = Date.now();
      this.receive(JSON.parse(event.data));
    };
    socket.onclose = () => {
      if (this.socket === socket) this.reconnectAfter(this.wait);
    };
    this.heardAt = Date.now();
  }

  /** @param {number} milliseconds */
  reconnectAfter(milliseconds) {
    if (this.isOver || (milliseconds === 0 && this.socket?.readyState === WebSocket.OPEN)) return;
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.listener.state("offline");
    clearTimeout(this.retry);
    this.retry = setTimeout(() => void this.connect(), milliseconds * (0.75 + Math.random() / 2));
    this.wait = Math.min(LONGEST_WAIT, this.wait * 2);
  }

  ping() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    if (Date.now() - this.heardAt > SILENCE) this.reconnectAfter(FIRST_WAIT);
    else this.send({ type: "ping" });
  }

  /** @param {object} message */
  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  join() {
    this.send({ type: "join", fileId: this.documentId });
  }

  /** @param {any} message */
  receive(message) {
    switch (message.type) {
      case "welcome":
        return this.join();
      case "snapshot":
        this.text = new Text(message.content);
        this.sequence = message.snapshotSequenceId;
        this.listener.role(message.role);
        this.listener.text(this.text.value, message.snapshotVersion);
        return this.send({
          type: "snapshotApplied",
          fileId: this.documentId,
          snapshotSequenceId: message.snapshotSequenceId,
        });
      case "committed":
        return this.committed(message);
      case "live":
        this.wait = FIRST_WAIT;
        this.people = new Map(message.participants.map((/** @type {Person} */ each) => [each.connectionId, each]));
        this.listener.role(message.role);
        this.listener.people([...this.people.values()]);
        return this.listener.state("live");
      case "presence":
        this.people.set(message.participant.connectionId, message.participant);
        return this.listener.people([...this.people.values()]);
      case "left":
        this.people.delete(message.connectionId);
        return this.listener.people([...this.people.values()]);
      case "roleChanged":
        return this.listener.role(message.role);
      case "rejoin":
        this.listener.state("connecting");
        return this.join();
      case "goodbye":
        return this.reconnectAfter(message.retryAfter);
      case "error":
        return this.refused(message);
    }
  }

  /** @param {any} message */
  committed(message) {
    if (message.previousSequenceId > this.sequence) {
      // Something is missing: all anew.
      this.send({ type: "leave", fileId: this.documentId });
      this.listener.state("connecting");
      return this.join();
    }
    let version = -1;
    for (const operation of message.operations) {
      if (operation.serverSequenceId <= this.sequence) continue;
      this.text.apply(editsOf(operation));
      this.sequence = operation.serverSequenceId;
      version = operation.documentVersion;
    }
    if (version >= 0) this.listener.text(this.text.value, version);
  }

  /** @param {any} message an error */
  refused(message) {
    if (message.retry !== "never") return this.reconnectAfter(this.wait);
    if (CREDENTIAL_ENDED.has(message.code)) return; // a close follows; asking for a token tells what is the matter
    const title = message.code.replaceAll("_", " ");
    this.end(new Problem(403, { title, code: message.code, detail: message.detail, help: message.help }));
  }

  /** @param {Problem} problem */
  end(problem) {
    this.stop();
    this.listener.ended(problem);
  }
}
