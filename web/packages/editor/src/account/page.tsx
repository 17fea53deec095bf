/** One's own account: profile, e-mail, password, data. */

import { Checkbox, TextInput } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "react-router";
import { changeEmail, changePassword, changeProfile, deleteAccount, exportAccount, seeAccount } from "../api/accounts";
import { keys } from "../api/keys";
import type { Account } from "../api/models";
import { cleanHandle } from "../entrance/account_fields";
import { ActionButton } from "../parts/action_button";
import { dialog } from "../parts/dialogs";
import { download } from "../parts/download";
import { Form } from "../parts/form";
import { Tag } from "../parts/notice";
import { Page, Part } from "../parts/page";
import { CurrentPassword, NewPassword } from "../parts/passwords";
import { useSession } from "../session";
import { say } from "../shell/say";
import { Failed } from "../states/failed";
import { Opening } from "../states/opening";
import { AccountTabs } from "./tabs";

export default function AccountPage() {
  const account = useQuery({ queryKey: keys.account, queryFn: seeAccount });
  return (
    <Page title="Your account">
      <AccountTabs />
      {account.isPending && <Opening />}
      {account.isError && <Failed error={account.error} again={() => void account.refetch()} />}
      {account.data && (
        <>
          <Profile account={account.data} />
          <Email account={account.data} />
          <Password account={account.data} />
          <Data account={account.data} />
        </>
      )}
    </Page>
  );
}

function Profile({ account }: { account: Account }) {
  const queries = useQueryClient();
  const { reload } = useSession();
  return (
    <Part title="Profile">
      <Form
        submit="Save the profile"
        action={async (values) => {
          const changed = await changeProfile({
            displayName: (values["displayName"] ?? "").trim(),
            handle: cleanHandle(values["handle"] ?? ""),
            color: values["color"] ?? account.color,
            discoverable: values["discoverable"] !== undefined,
          });
          queries.setQueryData(keys.account, changed);
          await reload();
          say("Your profile is saved.");
        }}
      >
        <TextInput
          name="displayName"
          label="Your name"
          defaultValue={account.displayName}
          required
          maxLength={128}
          autoComplete="name"
        />
        <TextInput
          name="handle"
          label="Handle"
          defaultValue={account.handle}
          required
          maxLength={41}
          autoCapitalize="none"
          spellCheck={false}
        />
        <TextInput
          name="color"
          type="color"
          label="Colour"
          description="Of your name and caret, where others see you."
          defaultValue={account.color}
        />
        <Checkbox
          name="discoverable"
          size="md"
          label="Others can find me by searching"
          defaultChecked={account.discoverable}
        />
      </Form>
    </Part>
  );
}

function Email({ account }: { account: Account }) {
  const queries = useQueryClient();
  const isEmpty = account.email === null && account.unverifiedEmail === null;
  return (
    <Part title="E-mail">
      {isEmpty && <p>No address yet. With one you can reset your password and be invited by mail.</p>}
      {account.email && (
        <p>
          <strong>{account.email}</strong> <Tag kind="good">verified</Tag>
        </p>
      )}
      {account.unverifiedEmail && (
        <p>
          <strong>{account.unverifiedEmail}</strong> <Tag kind="warning">not verified: open the link in the mail</Tag>
        </p>
      )}
      <Form
        submit="Send a link to it"
        action={async (values, form) => {
          const { detail } = await changeEmail((values["email"] ?? "").trim(), values["currentPassword"] ?? "");
          form.reset();
          await queries.invalidateQueries({ queryKey: keys.account });
          say(detail);
        }}
      >
        <TextInput
          name="email"
          type="email"
          label={account.email ? "Another address" : "Address"}
          autoComplete="email"
          required
        />
        <CurrentPassword needed={account.hasPassword} />
      </Form>
    </Part>
  );
}

function Password({ account }: { account: Account }) {
  const queries = useQueryClient();
  const { begin } = useSession();
  return (
    <Part title={account.hasPassword ? "Password" : "Set a password"}>
      <Form
        submit={account.hasPassword ? "Change the password" : "Set the password"}
        action={async (values, form) => {
          await begin(await changePassword(values["currentPassword"] ?? "", values["newPassword"] ?? ""));
          form.reset();
          await queries.invalidateQueries({ queryKey: keys.account });
          say("Your password is changed.");
        }}
      >
        <input type="text" autoComplete="username" defaultValue={account.handle} aria-label="Handle" hidden readOnly />
        <CurrentPassword needed={account.hasPassword} />
        <NewPassword
          label="New password"
          name="newPassword"
          hint="At least 10 characters. You will be signed out everywhere else."
        />
      </Form>
    </Part>
  );
}

function Data({ account }: { account: Account }) {
  const { end } = useSession();
  const navigate = useNavigate();
  const ask = () =>
    dialog("Delete your account?", (close) => (
      <>
        <p>
          Your account goes for good, and documents that nobody else has. What you wrote in other documents stays, by
          nobody.
        </p>
        <Form
          submit="Delete my account"
          color="red"
          action={async (values) => {
            await deleteAccount(values["currentPassword"] ?? null);
            close("done");
            navigate("/");
            await end();
            say("Your account is deleted.");
          }}
        >
          <CurrentPassword needed={account.hasPassword} />
        </Form>
      </>
    ));
  return (
    <Part title="Your data">
      <p>Everything that is stored about you, without the texts: those are exported from the list of documents.</p>
      <div className="actions">
        <ActionButton action={async () => download(await exportAccount(), `coscribe-${account.handle}.json`)}>
          Export my data
        </ActionButton>
        <ActionButton className="dangerous" action={ask}>
          Delete my account
        </ActionButton>
      </div>
    </Part>
  );
}
