/** How far an upload is, and what came of it: below the files, until it is dismissed. */

import { Button, Progress } from "@mantine/core";
import { useSyncExternalStore } from "react";
import { dialog } from "../parts/dialogs";
import { Collisions } from "./collisions";
import { type Answer, sizeText, type Uploading, type Uploads } from "./uploads";

/** So many refusals are named. */
const NAMED = 50;

/** What to do with files that are there already. */
export async function askAboutCollisions(paths: readonly string[]): Promise<Answer> {
  const title = paths.length === 1 ? "This file is there already" : `${paths.length} files are there already`;
  return (await dialog(title, (close) => <Collisions paths={paths} close={close} />, "lg")) as Answer;
}

export function UploadPanel({ uploads }: { readonly uploads: Uploads }) {
  const state = useSyncExternalStore(uploads.subscribe, uploads.state);
  if (state === null) return null;
  return (
    <section className="co-uploads" aria-label="Upload">
      <p role="status">{saidOf(state)}</p>
      {!state.isOver && <Progress value={shareOf(state)} aria-label="Uploaded" />}
      {state.refused.length > 0 && (
        <ul aria-label="Not uploaded">
          {state.refused.slice(0, NAMED).map((refused) => (
            <li key={refused}>
              <bdi>{refused}</bdi>
            </li>
          ))}
          {state.refused.length > NAMED && <li>and {state.refused.length - NAMED} more</li>}
        </ul>
      )}
      <Button size="compact-sm" variant="default" onClick={() => (state.isOver ? uploads.dismiss() : uploads.cancel())}>
        {state.isOver ? "OK" : "Cancel"}
      </Button>
    </section>
  );
}

function shareOf({ files, finished, bytes, sent }: Uploading): number {
  const share = bytes > 0 ? sent / bytes : 0;
  return Math.round((50 * finished) / Math.max(1, files) + 50 * share);
}

/** In a sentence or two. */
export function saidOf({ files, finished, bytes, sent, made, skipped, refused, isOver }: Uploading): string {
  if (!isOver) {
    const size = bytes > 0 ? `, ${sizeText(sent)} of ${sizeText(bytes)}` : "";
    return `Uploading: ${finished} of ${countOf(files)}${size}.`;
  }
  const left = skipped > 0 ? ` ${countOf(skipped)} left out.` : "";
  const failed = refused.length > 0 ? " Not uploaded:" : "";
  return `${countOf(made)} uploaded.${left}${failed}`;
}

function countOf(files: number): string {
  return files === 1 ? "1 file" : `${files.toLocaleString()} files`;
}
