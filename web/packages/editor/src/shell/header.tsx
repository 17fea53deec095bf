/** What is above every page: where one can go, who one is. */

import { ActionIcon, UnstyledButton, useMantineColorScheme } from "@mantine/core";
import { IconDeviceDesktop, IconMoon, IconSun } from "@tabler/icons-react";
import { lazy, Suspense, useState } from "react";
import { Link, NavLink, useLocation } from "react-router";
import { Dot } from "../parts/notice";
import { useSession } from "../session";

/** Loaded when it is first opened, as menus need much that pages do not. */
const MyMenu = lazy(() => import("./my_menu"));

const NEXT = { auto: "light", light: "dark", dark: "auto" } as const;
const LOOKS = { auto: "like the system", light: "light", dark: "dark" } as const;
const ICONS = { auto: IconDeviceDesktop, light: IconSun, dark: IconMoon } as const;

/** @param yields whether it is there only when the main part is a page with a heading */
export function Header({ yields }: { yields: boolean }) {
  const { account, status } = useSession();
  const { pathname } = useLocation();
  return (
    <header className="header" data-yields={yields || undefined}>
      <Link className="brand" to="/" aria-label="Coscribe, to the documents">
        <img src="/icon.svg" alt="" width={26} height={26} />
        <span>Coscribe</span>
      </Link>
      <nav aria-label="Pages">
        {account && (
          <>
            <NavLink to="/" end aria-current={pathname === "/" ? "page" : undefined}>
              Documents
            </NavLink>
            {account.administrator && <NavLink to="/admin">Administration</NavLink>}
          </>
        )}
      </nav>
      <ColorSchemeSwitch />
      {account && <Me name={account.displayName} color={account.color} isOffline={status === "offline"} />}
      {!account && status === "signed-out" && /^\/[dw]\//.test(pathname) && <Link to="/sign-in">Sign in</Link>}
    </header>
  );
}

function ColorSchemeSwitch() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const Icon = ICONS[colorScheme];
  const label = `Colours: ${LOOKS[colorScheme]}. Change to ${LOOKS[NEXT[colorScheme]]}`;
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      size="lg"
      aria-label={label}
      title={label}
      onClick={() => setColorScheme(NEXT[colorScheme])}
    >
      <Icon size={18} aria-hidden />
    </ActionIcon>
  );
}

function Me({ name, color, isOffline }: { name: string; color: string; isOffline: boolean }) {
  const [isWanted, setWanted] = useState(false);
  const label = `You are ${name}${isOffline ? ", offline" : ""}`;
  const button = (
    <UnstyledButton className="me" aria-label={label} aria-haspopup="menu" onClick={() => setWanted(true)}>
      <Dot color={color} />
      <span>{name}</span>
    </UnstyledButton>
  );
  if (!isWanted) return button;
  return (
    <Suspense fallback={button}>
      <MyMenu name={name} color={color} label={label} />
    </Suspense>
  );
}
