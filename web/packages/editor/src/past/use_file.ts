/** One file through time, by its id. */

import { useQuery } from "@tanstack/react-query";
import { Problem } from "../api/problem";
import { pastKeys, readFile } from "./api";

/** The past does not change, so what has come once is not asked for again. */
const KEPT = { staleTime: Number.POSITIVE_INFINITY, gcTime: 60_000 };

/** While another moment is loaded the one before is shown. "": no file. */
export function useFile(workspaceId: string, fileId: string, at: number) {
  return useQuery({
    queryKey: pastKeys.file(workspaceId, fileId, at),
    queryFn: ({ signal }) => readFile(workspaceId, fileId, at, signal),
    enabled: fileId !== "",
    placeholderData: (before) => (before?.entry.fileId === fileId ? before : undefined),
    ...KEPT,
  });
}

/** Likewise at one of two moments that are compared; null: it was not there. */
export function useSide(workspaceId: string, fileId: string, at: number) {
  return useQuery({
    queryKey: [...pastKeys.file(workspaceId, fileId, at), "side"],
    queryFn: async ({ signal }) => {
      try {
        return await readFile(workspaceId, fileId, at, signal);
      } catch (error) {
        if (error instanceof Problem && error.code === "file_not_found") return null;
        throw error;
      }
    },
    enabled: fileId !== "",
    ...KEPT,
  });
}
