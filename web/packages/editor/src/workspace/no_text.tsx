/** A file that is no text: how large it is, a way to have it, and of images what they show. */

import type { Workspace } from "@coscribe/client";
import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Problem, textOf } from "../api/problem";
import { nameIn } from "./address";
import { downloadAddress, readBytes } from "./api";
import { sizeText } from "./uploads";
import { useTree } from "./use_workspace";

/** Bytes of an image that is shown. */
const MAX_IMAGE = 10_000_000;

interface Props {
  readonly workspace: Workspace;
  readonly fileId: string;
  readonly kind: string;
  readonly isShown: boolean;
}

export function NoText({ workspace, fileId, kind, isShown }: Props) {
  const content = useTree(workspace, () => workspace.node(fileId)?.content ?? "");
  const path = useTree(workspace, () => workspace.path(fileId) ?? "");
  const name = nameIn(path);
  if (kind === "symlink") {
    return (
      <div className="co-file-said">
        <p>
          “{name}” is a link to <code>{content}</code>.
        </p>
      </div>
    );
  }
  return <Binary workspaceId={workspace.workspaceId} path={path} content={content} isShown={isShown} />;
}

interface BinaryProps {
  readonly workspaceId: string;
  readonly path: string;
  /** The SHA-256. */
  readonly content: string;
  readonly isShown: boolean;
}

function Binary({ workspaceId, path, content, isShown }: BinaryProps) {
  const name = nameIn(path);
  const found = useQuery({
    queryKey: ["binary", workspaceId, content],
    queryFn: ({ signal }) => look(workspaceId, path, signal),
    enabled: isShown,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
  });
  const { image, size } = found.data ?? { image: null, size: null };
  return (
    <div className="co-file-said">
      {image !== null && <Preview image={image} name={name} />}
      <p>
        “{name}” is binary{size !== null && `, ${sizeText(size)}`}.{image === null && " It cannot be shown here."}
      </p>
      {found.isError && <p>{refusal(found.error)}</p>}
      <Button component="a" variant="default" href={downloadAddress(workspaceId, path)} download={name}>
        Download
      </Button>
    </div>
  );
}

function Preview({ image, name }: { readonly image: Blob; readonly name: string }) {
  const [address, setAddress] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(image);
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, [image]);
  if (address === "") return null;
  return <img className="co-preview" src={address} alt={`What “${name}” shows`} />;
}

interface Looked {
  readonly size: number;
  /** null: it is none, or a large one. */
  readonly image: Blob | null;
}

/** Only the beginning of what is no image is read. */
async function look(workspaceId: string, path: string, signal: AbortSignal): Promise<Looked> {
  const stop = new AbortController();
  const answer = await readBytes(workspaceId, path, AbortSignal.any([signal, stop.signal]));
  const size = Number(answer.headers.get("Content-Length") ?? 0);
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const reader = answer.body?.getReader();
  let type = "";
  for (let read = 0; reader !== undefined; ) {
    const { done, value } = await reader.read();
    if (done) break;
    pieces.push(value);
    read += value.length;
    if (type === "") type = imageTypeOf(pieces[0] ?? new Uint8Array());
    if (type === "" || read > MAX_IMAGE) {
      stop.abort();
      return { size, image: null };
    }
  }
  return { size, image: type === "" ? null : new Blob(pieces, { type }) };
}

/** By how it begins, whatever its name says; "": no image that a browser only paints. (SVG is text, and can hold more.) */
export function imageTypeOf(begin: Uint8Array): string {
  const text = String.fromCharCode(...begin.subarray(0, 16));
  if (text.startsWith("\x89PNG\r\n\x1a\n")) return "image/png";
  if (text.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (/^GIF8[79]a/.test(text)) return "image/gif";
  if (/^RIFF.{4}WEBP/s.test(text)) return "image/webp";
  if (/^.{4}ftypavi[fs]/s.test(text)) return "image/avif";
  return "";
}

function refusal(error: unknown): string {
  if (error instanceof Problem && error.isUnreachable) return "It can be had when the server can be reached.";
  return textOf(error);
}
