/** Two versions side by side, whichever they are. */

import { Button, Loader, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useId } from "react";
import { Problem } from "../api/problem";
import { Form } from "../parts/form";
import { Failed } from "../states/failed";
import { historyKeys, seeContent } from "./api";
import type { Names } from "./names";

const Differences = lazy(() => import("./differences"));

export interface Pair {
  readonly from: number;
  readonly to: number;
}

interface Props {
  readonly documentId: string;
  readonly name: string;
  readonly pair: Pair;
  /** The last version. */
  readonly length: number;
  readonly names: Names;
  readonly onCompare: (pair: Pair) => void;
  readonly onClose: () => void;
}

export function Compare({ documentId, name, pair, length, names, onCompare, onClose }: Props) {
  const listId = useId();
  const { from, to } = pair;
  const before = useText(documentId, from);
  const after = useText(documentId, to);
  const failed = before.isError ? before : after;
  const wanted = (label: string, key: "from" | "to") => (
    <TextInput
      name={key}
      label={label}
      defaultValue={labelOf(pair[key], names)}
      list={listId}
      required
      withAsterisk={false}
      autoComplete="off"
    />
  );
  return (
    <section className="co-compare" aria-label="Compare two versions">
      <Form
        key={`${labelOf(from, names)} ${labelOf(to, names)}`}
        submit="Compare"
        inline
        action={async (values) => {
          const chosen = { from: versionIn(values["from"], length, names), to: versionIn(values["to"], length, names) };
          onCompare(chosen);
        }}
      >
        <div className="co-pair">
          {wanted("From version", "from")}
          {wanted("To version", "to")}
        </div>
        <Button variant="default" onClick={() => onCompare({ from: to, to: from })}>
          Swap
        </Button>
        <Button variant="default" onClick={onClose}>
          Close
        </Button>
      </Form>
      <datalist id={listId}>
        {names.all.map((named) => (
          <option key={named.version} value={named.name}>
            version {named.version}
          </option>
        ))}
        <option value="0">before anything was written</option>
        <option value={length}>the present text</option>
      </datalist>
      {failed.isError ? (
        <Failed error={failed.error} again={() => void failed.refetch()} />
      ) : before.data === undefined || after.data === undefined ? (
        <Loader aria-label="Loading both versions" className="loading" />
      ) : (
        <Suspense fallback={<Loader aria-label="Loading both versions" className="loading" />}>
          <Differences
            name={name}
            before={{ text: before.data.text, label: titleOf(from, names) }}
            after={{ text: after.data.text, label: titleOf(to, names) }}
          />
        </Suspense>
      )}
    </section>
  );
}

/** The past does not change, so a text that has come once is not asked for again. */
function useText(documentId: string, version: number) {
  return useQuery({
    queryKey: historyKeys.text(documentId, version),
    queryFn: ({ signal }) => seeContent(documentId, version, signal),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
  });
}

function labelOf(version: number, names: Names): string {
  return names.of(version) || String(version);
}

function titleOf(version: number, names: Names): string {
  const name = names.of(version);
  return name ? `${name} (version ${version})` : `Version ${version}`;
}

/** The version of a name or a number. Raises `Problem`. */
function versionIn(typed: string | undefined, length: number, names: Names): number {
  const text = (typed ?? "").trim();
  const named = names.all.find((each) => each.name.toLowerCase() === text.toLowerCase());
  if (named !== undefined) return named.version;
  const version = /^\d{1,15}$/.test(text) ? Number(text) : -1;
  if (version >= 0 && version <= length) return version;
  throw new Problem(422, {
    title: `There is no version “${text}”`,
    help: `Type a number from 0 to ${length}, or the name of a version.`,
  });
}
