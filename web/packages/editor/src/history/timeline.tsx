/** Who edited when, the newest first, and the versions that have a name. */

import { PagedList } from "../parts/more";
import { Tag } from "../parts/notice";
import { type RowAction, RowMenu } from "../parts/row_menu";
import { type EditingSession, historyKeys, listSessions, type VersionNamed } from "./api";
import type { Names } from "./names";
import { AuthorName, span } from "./people";
import type { Player } from "./player";
import { usePlayer } from "./use_player";

interface Props {
  readonly documentId: string;
  readonly player: Player;
  readonly names: Names;
  readonly onShow: (version: number) => void;
  readonly onPlay: (from: number, to: number) => void;
  readonly onCompare: (from: number, to: number) => void;
}

export function Timeline({ documentId, player, names, onShow, onPlay, onCompare }: Props) {
  const compareWithShown = (version: number) => ({
    text: "Compare with the shown text",
    action: async () => onCompare(version, player.state().version),
  });
  const row = (session: EditingSession) => (
    <SessionRow
      session={session}
      player={player}
      onShow={() => onShow(session.toVersion)}
      actions={[
        { text: "Play it", action: async () => onPlay(session.fromVersion, session.toVersion) },
        { text: "Show what it changed", action: async () => onCompare(session.fromVersion, session.toVersion) },
        compareWithShown(session.toVersion),
        ...names.actions(session.toVersion),
      ]}
    />
  );
  return (
    <section className="co-timeline" aria-label="Timeline">
      {names.all.length > 0 && (
        <>
          <h2 id="co-names">Named versions</h2>
          <ul className="rows" aria-labelledby="co-names">
            {names.all.toReversed().map((named) => (
              <li key={named.version} className="co-session">
                <NamedButton named={named} player={player} onShow={() => onShow(named.version)} />
                <RowMenu
                  label={`Actions for ${named.name}`}
                  actions={[compareWithShown(named.version), ...names.actions(named.version)]}
                />
              </li>
            ))}
          </ul>
        </>
      )}
      <h2>Editing sessions</h2>
      <PagedList
        name={historyKeys.sessions(documentId)}
        page={(cursor, signal) => listSessions(documentId, cursor, signal)}
        idOf={(session) => String(session.toVersion)}
        row={row}
        label="Editing sessions, the newest first"
        empty={<p className="empty">Nothing has been written yet.</p>}
      />
    </section>
  );
}

function NamedButton({ named, player, onShow }: { named: VersionNamed; player: Player; onShow: () => void }) {
  const isShown = usePlayer(player, ({ version }) => version === named.version);
  return (
    <button type="button" className="co-session-main" aria-current={isShown} onClick={onShow}>
      <span className="co-session-who">{named.name}</span>
      <span className="meta">version {named.version}</span>
    </button>
  );
}

interface SessionRowProps {
  readonly session: EditingSession;
  readonly player: Player;
  readonly onShow: () => void;
  readonly actions: RowAction[];
}

function SessionRow({ session, player, onShow, actions }: SessionRowProps) {
  const { author, fromVersion, toVersion, begunAt, endedAt, inserted, deleted } = session;
  const isShown = usePlayer(player, ({ version }) => fromVersion < version && version <= toVersion);
  const when = span(begunAt, endedAt);
  return (
    <div className="co-session">
      <button type="button" className="co-session-main" aria-current={isShown} onClick={onShow}>
        <span className="co-session-who">
          <AuthorName author={author} />
        </span>
        <span className="meta">
          <time dateTime={begunAt}>{when}</time>
          <span>
            <span aria-hidden>
              <span className="co-inserted">+{inserted}</span> <span className="co-deleted">−{deleted}</span>
            </span>
            <span className="co-heard">{`${inserted} inserted, ${deleted} deleted`}</span>
          </span>
          <span>version {toVersion}</span>
        </span>
        {session.names.length > 0 && (
          <span className="meta">
            {session.names.map((named) => (
              <Tag key={named.version} kind="strong">
                {named.name}
              </Tag>
            ))}
          </span>
        )}
      </button>
      <RowMenu label={`Actions for the session of ${author.displayName}, ${when}`} actions={actions} />
    </div>
  );
}
