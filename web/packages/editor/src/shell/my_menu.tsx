/** What one can do about oneself; opened from the beginning. */

import { Menu, UnstyledButton } from "@mantine/core";
import { lazy, Suspense, useRef, useState } from "react";
import { Link } from "react-router";
import { Dot } from "../parts/notice";

const SignOutDialog = lazy(() => import("./sign_out"));

export default function MyMenu({ name, color, label }: { name: string; color: string; label: string }) {
  const [step, setStep] = useState<"here" | "leaving" | "staying">("here");
  const button = useRef<HTMLButtonElement>(null);
  return (
    <>
      <Menu position="bottom-end" withinPortal defaultOpened>
        <Menu.Target>
          <UnstyledButton ref={button} className="me" aria-label={label}>
            <Dot color={color} />
            <span>{name}</span>
          </UnstyledButton>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Label>{name}</Menu.Label>
          <Menu.Item component={Link} to="/account">
            Account
          </Menu.Item>
          <Menu.Item component={Link} to="/account/tokens">
            API tokens
          </Menu.Item>
          <Menu.Item onClick={() => setStep("leaving")}>Sign out</Menu.Item>
        </Menu.Dropdown>
      </Menu>
      {step !== "here" && (
        <Suspense>
          <SignOutDialog opened={step === "leaving"} opener={button.current} onClose={() => setStep("staying")} />
        </Suspense>
      )}
    </>
  );
}
