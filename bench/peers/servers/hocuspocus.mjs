// Hocuspocus without extensions: documents are in memory, and nothing is stored.

import { Server } from "@hocuspocus/server";

const server = new Server({ address: "127.0.0.1", port: Number(process.env.PORT), quiet: true });
await server.listen();
