import { NavLink } from "react-router";

/** The pages of one's account. */
export function AccountTabs() {
  return (
    <nav className="tabs" aria-label="Account">
      <NavLink to="/account" end>
        Profile
      </NavLink>
      <NavLink to="/account/sessions">Signing in</NavLink>
      <NavLink to="/account/tokens">API tokens</NavLink>
    </nav>
  );
}
