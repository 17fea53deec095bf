import { useQueryClient } from "@tanstack/react-query";
import { keys } from "../api/keys";

/** Asks anew for everything that the dialog shows of a document. */
export function useRefresh(documentId: string): () => Promise<void> {
  const queries = useQueryClient();
  return () => queries.invalidateQueries({ queryKey: keys.sharing(documentId) });
}
