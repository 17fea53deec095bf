/** The page: what each address shows, and to whom. Whoever has to sign in first does it at the address itself. */

import { lazy, type ReactNode, Suspense, useEffect } from "react";
import { Navigate, Route, Routes, useLocation, useNavigate, useParams } from "react-router";
import { addressOf, setArrival, takeArrival, useArrival } from "./arrival";
import { closeDialogs, Dialogs } from "./parts/dialogs";
import { useSession } from "./session";
import { Crash } from "./shell/crash";
import { Header } from "./shell/header";
import { Spoken } from "./shell/say";
import { Unreachable } from "./states/offline";
import { Opening } from "./states/opening";

const DocumentsPage = lazy(() => import("./documents/page"));
const NotFound = lazy(() => import("./states/not_found"));
const SignIn = lazy(() => import("./entrance/sign_in"));
const SignUp = lazy(() => import("./entrance/sign_up"));
const Setup = lazy(() => import("./entrance/setup"));
const Reset = lazy(() => import("./entrance/reset"));
const Verify = lazy(() => import("./entrance/verify"));
const Invite = lazy(() => import("./entrance/invite"));
const OpenLink = lazy(() => import("./entrance/open_link"));
const AccountPage = lazy(() => import("./account/page"));
const TokensPage = lazy(() => import("./account/tokens"));
const SessionsPage = lazy(() => import("./account/sessions"));
const AdminPage = lazy(() => import("./admin/page"));
const EditorPage = lazy(() => import("./editor/page"));
const WorkspacePage = lazy(() => import("./workspace/page"));
const WorkspaceHistoryPage = lazy(() => import("./past/page"));
const HistoryPage = lazy(() => import("./history/page"));

/** The page of one document or workspace has a bar of its own, and needs the room: the header is there only where a notice is shown
 * in the document's place. */
const EDITOR = /^\/[dw]\/[^/]+$/;

export function App() {
  const { pathname } = useLocation();
  const { account, guest } = useSession();
  const userId = account?.userId;
  const isEditing = EDITOR.test(pathname) && (account !== null || guest !== null);
  useLaterArrivals();
  // biome-ignore lint/correctness/useExhaustiveDependencies: what somebody has opened goes with them
  useEffect(() => closeDialogs, [userId]);
  return (
    <>
      <button type="button" className="skip" onClick={() => document.getElementById("main")?.focus()}>
        Skip to the content
      </button>
      <Header yields={isEditing} />
      <main id="main" tabIndex={-1}>
        <Crash address={pathname}>
          <Suspense fallback={<Opening />}>
            <Pages />
          </Suspense>
        </Crash>
      </main>
      <Dialogs />
      <Spoken />
    </>
  );
}

function Pages() {
  const { status } = useSession();
  if (status === "loading") return <Opening />;
  if (status === "unreachable") return <Unreachable />;
  return (
    <Routes>
      <Route path="/sign-in" element={<Entrance page={<SignIn />} />} />
      <Route path="/sign-up" element={<Entrance page={<SignUp />} />} />
      <Route path="/setup" element={<Entrance page={<Setup />} />} />
      <Route path="/reset" element={<Reset />} />
      <Route path="/verify" element={<Verify />} />
      <Route path="/invite" element={<Invite />} />
      <Route path="/link" element={<OpenLink />} />
      <Route path="/" element={<Members page={<DocumentsPage />} />} />
      <Route path="/d/:documentId" element={<Readers page={<EditorPage />} />} />
      <Route path="/d/:documentId/history" element={<Readers page={<HistoryPage />} />} />
      <Route path="/w/:workspaceId" element={<Readers page={<WorkspacePage />} />} />
      <Route path="/w/:workspaceId/history" element={<Readers page={<WorkspaceHistoryPage />} />} />
      <Route path="/account" element={<Members page={<AccountPage />} />} />
      <Route path="/account/tokens" element={<Members page={<TokensPage />} />} />
      <Route path="/account/sessions" element={<Members page={<SessionsPage />} />} />
      <Route path="/admin" element={<Navigate to="/admin/users" replace />} />
      <Route path="/admin/:part" element={<Administrators page={<AdminPage />} />} />
      <Route path="*" element={<NotFound />} />
    </Routes>
  );
}

/** For those who are not signed in; the others go on to what brought them here. */
function Entrance({ page }: { page: ReactNode }) {
  const { account, guest } = useSession();
  const arrival = useArrival();
  if (!account) return page;
  if (arrival?.kind === "error") return page;
  if (arrival) return <Navigate to={addressOf(arrival)} replace />;
  if (guest) return <KeepShared secret={guest.secret} />;
  return <Navigate to="/" replace />;
}

/** A guest has signed in: the link, opened again, puts the document among their own. */
function KeepShared({ secret }: { secret: string }) {
  const { enterAsGuest } = useSession();
  const navigate = useNavigate();
  useEffect(() => {
    setArrival({ kind: "link", secret });
    navigate("/link", { replace: true });
    enterAsGuest(null);
  }, [secret, navigate, enterAsGuest]);
  return <Opening />;
}

function Members({ page }: { page: ReactNode }) {
  const { account } = useSession();
  return account ? page : <SignIn />;
}

function Readers({ page }: { page: ReactNode }) {
  const { account, guest } = useSession();
  const { documentId, workspaceId } = useParams();
  return account || guest?.documentId === (documentId ?? workspaceId) ? page : <SignIn />;
}

function Administrators({ page }: { page: ReactNode }) {
  const { account, status } = useSession();
  if (!account) return <SignIn />;
  if (status === "offline") return <Unreachable />;
  return account.administrator ? page : <NotFound />;
}

/** A link that is put into the address of a page that is open already. */
function useLaterArrivals(): void {
  const navigate = useNavigate();
  useEffect(() => {
    const look = () => {
      const address = takeArrival(location.hash);
      if (address !== null) navigate(address, { replace: true });
    };
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, [navigate]);
}
