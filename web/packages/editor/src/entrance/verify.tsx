import { useQuery } from "@tanstack/react-query";
import { verifyEmail } from "../api/accounts";
import { textOf } from "../api/problem";
import { useArrival } from "../arrival";
import { useSession } from "../session";
import { ExpiredLink } from "../states/expired_link";
import { HomeLink } from "../states/home_link";
import { Opening } from "../states/opening";
import { State } from "../states/state";

/** The link of the mail that asks whether an address is one's own. */
export default function Verify() {
  const arrival = useArrival();
  const { account } = useSession();
  const secret = arrival?.kind === "verify" ? arrival.secret : "";
  const verified = useQuery({
    queryKey: ["verify", secret],
    queryFn: async () => {
      await verifyEmail(secret);
      return true;
    },
    enabled: secret !== "",
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
  if (!secret) return <ExpiredLink />;
  if (verified.isPending) return <Opening />;
  if (verified.isError) return <ExpiredLink text={textOf(verified.error)} />;
  return (
    <State title="Your address is verified" text="Invitations that were sent to it are among yours now.">
      <HomeLink text={account ? "To your documents" : "Sign in"} />
    </State>
  );
}
