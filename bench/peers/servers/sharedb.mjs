// ShareDB as its README sets it up: the database in memory, over ws.

import { createServer } from "node:http";
import WebSocketJSONStream from "@teamwork/websocket-json-stream";
import { type } from "ot-text-unicode";
import ShareDB from "sharedb";
import { WebSocketServer } from "ws";

ShareDB.types.register(type);
const backend = new ShareDB();
const server = createServer();
new WebSocketServer({ server }).on("connection", (socket) => backend.listen(new WebSocketJSONStream(socket)));
server.listen(Number(process.env.PORT), "127.0.0.1");
