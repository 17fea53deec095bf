import type { Link, LinkHandlers, Transport } from "../transport.ts";

const NORMAL_CLOSURE = 1000;

/** The server at `url`, `wss://host/ws`, over the platform's WebSocket (browsers, workers, Node). */
export function webSocketTransport(url: string | URL): Transport {
  return {
    connect(handlers: LinkHandlers): Link {
      const socket = new WebSocket(url);
      let isOver = false;
      const over = () => {
        if (isOver) return;
        isOver = true;
        handlers.closed();
      };
      socket.onopen = () => {
        if (!isOver) handlers.opened();
      };
      socket.onmessage = (event: MessageEvent<unknown>) => {
        if (!isOver && typeof event.data === "string") handlers.received(event.data);
      };
      socket.onclose = over;
      socket.onerror = over;
      return {
        send(frame) {
          if (socket.readyState === WebSocket.OPEN) socket.send(frame);
        },
        close() {
          isOver = true;
          socket.close(NORMAL_CLOSURE);
        },
      };
    },
  };
}
