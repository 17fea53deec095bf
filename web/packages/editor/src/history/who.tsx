/** Who wrote this: the legend, and the piece under the caret. */

import { Button, Loader } from "@mantine/core";
import { Failed } from "../states/failed";
import { type Attribution, authorIn, type Piece, pieceAt } from "./attribution";
import { AuthorName, exactly } from "./people";

/** So many authors are in the legend; the rest is a number. */
const MOST = 30;

interface Props {
  readonly attribution: Attribution | null;
  readonly error: unknown;
  readonly isPlaying: boolean;
  /** UTF-16 offset of the caret. */
  readonly caret: number;
  readonly again: () => void;
  readonly onShow: (version: number) => void;
}

export function Who({ attribution, error, isPlaying, caret, again, onShow }: Props) {
  const found = attribution && pieceAt(attribution, caret);
  const authors = attribution ? [...attribution.authors.values()] : [];
  return (
    <section className="co-who" aria-label="Who wrote this">
      {error !== null && <Failed error={error} again={again} />}
      {error === null && attribution === null && isPlaying && <p className="quiet">Pause to see who wrote what.</p>}
      {error === null && attribution === null && !isPlaying && (
        <Loader size="sm" aria-label="Looking for the authors" />
      )}
      <ul className="co-legend" aria-label="Authors">
        {authors.slice(0, MOST).map((author) => (
          <li key={author.userId}>
            <AuthorName author={author} /> <span className="quiet">{percent(author.share)}</span>
          </li>
        ))}
        {authors.length > MOST && <li className="quiet">and {authors.length - MOST} others</li>}
      </ul>
      <div className="co-under-caret">
        <p role="status">
          {attribution &&
            (found ? `At the caret: ${describePiece(found.piece, attribution)}` : "There is no text here.")}
        </p>
        {attribution && found && found.piece.version !== attribution.version && (
          <Button size="compact-sm" variant="default" onClick={() => onShow(found.piece.version)}>
            Show version {found.piece.version}
          </Button>
        )}
      </div>
    </section>
  );
}

/** Author, time and version of a piece, in a line. */
export function describePiece(piece: Piece, { authors }: Attribution): string {
  const said = [authorIn(authors, piece.authorId).displayName, exactly(piece.at), `version ${piece.version}`];
  return [...said, ...HOW[piece.kind]].join(", ");
}

/** Nothing is said of what was typed: that is the usual. */
const HOW: Readonly<Record<Piece["kind"], readonly string[]>> = {
  human: [],
  paste: ["pasted"],
  agent: ["by a bot"],
  disk: ["by a program on the working tree"],
};

function percent(share: number): string {
  return share > 0 && share < 0.01 ? "below 1%" : `${Math.round(share * 100)}%`;
}
