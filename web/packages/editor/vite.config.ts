import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";
import about from "./package.json" with { type: "json" };
import { serviceWorker } from "./plugins/service_worker.ts";

const OUT = "../../../src/coscribe/web/built";
const COMPRESSED = /\.(?:js|css|html|svg|webmanifest)$/;
const LEAST = 1_024;

/** Next to each file what a server sends to whoever takes brotli or gzip: compressed once, as small as it gets. */
function precompressed(): Plugin {
  return {
    name: "precompressed",
    apply: "build",
    async writeBundle({ dir = OUT }) {
      for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !COMPRESSED.test(entry.name)) continue;
        const file = join(entry.parentPath, entry.name);
        const body = await readFile(file);
        if (body.length < LEAST) continue;
        await writeFile(`${file}.gz`, gzipSync(body, { level: constants.Z_BEST_COMPRESSION }));
        await writeFile(`${file}.br`, brotliCompressSync(body)); // its default is the best there is
      }
    },
  };
}

export default defineConfig({
  plugins: [react(), serviceWorker("src/service_worker/sw.ts"), precompressed()],
  resolve: { conditions: ["source", "module", "browser", "development|production"] },
  define: { __APP_VERSION__: JSON.stringify(about.version) },
  html: { cspNonce: "COSCRIBE_NONCE" },
  build: {
    outDir: OUT,
    emptyOutDir: true,
    assetsDir: "assets",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    target: "es2024",
  },
  server: { proxy: { "/api": { target: process.env["COSCRIBE_API"] ?? "http://127.0.0.1:8777" } } },
});
