import { Button } from "@mantine/core";
import { lazy, Suspense, useState } from "react";
import { Notice } from "../parts/notice";
import { useSession } from "../session";
import { HomeLink } from "./home_link";
import { Opening } from "./opening";
import { State } from "./state";

const AskForm = lazy(() => import("./ask_form"));

/** A document that is not there for whoever asks. Whether it exists is not said. */
export function NoAccess({ documentId }: { documentId: string }) {
  const { account } = useSession();
  const [step, setStep] = useState<"told" | "asking" | "asked">("told");
  return (
    <State
      title="There is no such document for you"
      text={`It may have been deleted, or you${account ? `, ${account.displayName},` : ""} are not among its members.`}
    >
      {step === "told" && <Button onClick={() => setStep("asking")}>Ask for access</Button>}
      {step === "asking" && (
        <Suspense fallback={<Opening />}>
          <AskForm documentId={documentId} onAsked={() => setStep("asked")} />
        </Suspense>
      )}
      {step === "asked" && (
        <Notice kind="good" role="status">
          If there is such a document, its owners see your request. What they decide shows here when you open it again.
        </Notice>
      )}
      <HomeLink />
    </State>
  );
}
