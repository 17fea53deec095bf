/** A list that comes in pages. */

import { Button, Loader } from "@mantine/core";
import { type QueryKey, useInfiniteQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import type { Page } from "../api/models";
import { Failed } from "../states/failed";

interface PagedListProps<Item> {
  name: QueryKey;
  page: (cursor: string, signal: AbortSignal) => Promise<Page<Item>>;
  idOf: (item: Item) => string;
  row: (item: Item) => ReactNode;
  label: string;
  empty: ReactNode;
  /** Instead of the words about a refusal; null: those words. */
  failed?: (error: unknown) => ReactNode;
}

export function PagedList<Item>({ name, page, idOf, row, label, empty, failed }: PagedListProps<Item>) {
  const list = useInfiniteQuery({
    queryKey: name,
    queryFn: ({ pageParam, signal }) => page(pageParam, signal),
    initialPageParam: "",
    getNextPageParam: (last: Page<Item>) => last.nextCursor || undefined,
    maxPages: 100,
    placeholderData: (before) => before,
  });
  const items = list.data?.pages.flatMap((each) => each.items) ?? [];
  if (list.isPending) return <Loader aria-label="Loading" className="loading" />;
  if (list.isError && items.length === 0) {
    return failed?.(list.error) ?? <Failed error={list.error} again={() => void list.refetch()} />;
  }
  if (items.length === 0) return empty;
  return (
    <>
      <ul className="rows" aria-label={label} aria-busy={list.isFetching}>
        {items.map((item) => (
          <li key={idOf(item)}>{row(item)}</li>
        ))}
      </ul>
      {list.hasNextPage && (
        <Button variant="default" mt="md" loading={list.isFetchingNextPage} onClick={() => list.fetchNextPage()}>
          Show more
        </Button>
      )}
    </>
  );
}
