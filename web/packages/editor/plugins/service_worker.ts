import type { Plugin } from "vite";

/** Grammars: there are a hundred of them, and a document needs one. */
const ON_DEMAND = /\/node_modules\/(@codemirror\/(lang-|legacy-modes)|@lezer\/(?!common|highlight|lr))/;

/**
 * Names the service worker `sw.js`, at the root, and tells it which files of this build to keep from the beginning:
 * all but the chunks that hold nothing but grammars.
 */
export function serviceWorker(source: string): Plugin {
  return {
    name: "coscribe:service-worker",
    apply: "build",
    config: () => ({
      build: {
        rollupOptions: {
          input: { index: "index.html", sw: source },
          output: { entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js") },
        },
      },
    }),
    generateBundle(_options, bundle) {
      const shell = Object.values(bundle).filter((file) => {
        if (!file.fileName.startsWith("assets/")) return false;
        return file.type === "asset" || !file.moduleIds.every((id) => ON_DEMAND.test(id));
      });
      const names = shell.map((file) => `/${file.fileName}`).sort();
      const worker = bundle["sw.js"];
      if (worker?.type !== "chunk" || worker.imports.length > 0) this.error("the service worker must be one file");
      worker.code = worker.code.replaceAll("__SHELL_FILES__", JSON.stringify(names));
    },
  };
}
