"""Users, their tokens and passwords, and their bank accounts."""

from __future__ import annotations

from typing import Any

from .base import ApiSet, Episode, RefusalError, refuse

_VERIFICATION_CODE = 970420  # the same for everybody, as upstream


class Accounts(ApiSet):
    """User accounts. Most other APIs want a user's token."""

    accounts: dict[str, dict[str, str]]
    resetting: str | None
    """The user who asked for a verification code last; the code stays valid."""

    tables = {"accounts": "Account"}  # noqa: RUF012

    def __init__(self, episode: Episode):
        super().__init__(episode)
        self.resetting = None

    def CheckToken(self, token: str) -> dict[str, str]:
        """Tell whose token this is.

        Args:
            token: the token of a user.
        """
        return {"username": self._episode.user(token)}

    def GetUserToken(self, username: str, password: str) -> dict[str, str]:
        """Get the token of a user, which other tools ask for.

        Args:
            username: name of the user.
            password: the user's password.
        """
        if username not in self.accounts:
            refuse("The username does not exist.")
        if self.accounts[username]["password"] != password:
            refuse("The password is incorrect.")
        return {"token": self.accounts[username]["token"]}

    def RegisterUser(self, username: str, password: str, email: str) -> dict[str, str]:
        """Create an account and return its token.

        Args:
            username: name of the new user.
            password: the password to set.
            email: the user's address.
        """
        if username in self.accounts:
            refuse("The username already exists.")
        token = self._episode.draw_token()
        self.accounts[username] = {"password": password, "token": token, "email": email}
        return {"token": token}

    def DeleteAccount(self, token: str) -> dict[str, str]:
        """Delete the account of the user whose token is given.

        Args:
            token: the user's token.
        """
        del self.accounts[self._episode.user(token)]
        return {"status": "success"}

    def ModifyPassword(self, token: str, old_password: str, new_password: str) -> dict[str, str]:
        """Change a user's password.

        Args:
            token: the user's token.
            old_password: the password until now.
            new_password: the password from now on.
        """
        account = self.accounts[self._episode.user(token)]
        if account["password"] != old_password:
            refuse("The old password is incorrect.")
        account["password"] = new_password
        return {"status": "success"}

    def ForgotPassword(
        self,
        status: str,
        username: str | None = None,
        email: str | None = None,
        verification_code: int | None = None,
        new_password: str | None = None,
    ) -> int | str:
        """Set a new password without the old one, in two calls: the first returns a verification code, the second takes
        it together with the new password.

        Args:
            status: 'Forgot Password' in the first call, 'Verification Code' in the second.
            username: name of the user; for the first call.
            email: the address the user registered with; for the first call.
            verification_code: what the first call returned; for the second call.
            new_password: the password to set; for the second call.
        """
        if status == "Forgot Password":
            if username is None or email is None:
                refuse("The username and email are required for the first call.")
            if username not in self.accounts:
                refuse("The username does not exist.")
            if self.accounts[username]["email"] != email:
                refuse("The email is incorrect.")
            self.resetting = username
            return _VERIFICATION_CODE
        if status == "Verification Code":
            if self.resetting is None:
                refuse("You need to call the API with status 'Forgot Password' at first.")
            if new_password is None or verification_code is None:
                refuse("The new password and verification code are required for the second call.")
            if verification_code != _VERIFICATION_CODE:
                refuse("The verification code is incorrect.")
            self.accounts[self.resetting]["password"] = new_password
            return "success"
        refuse("The status is only 'Forgot Password' or 'Verification Code'.")


class Bank(ApiSet):
    """A bank: balances of users, and accounts that anybody can open."""

    opened: dict[str, dict[str, Any]]

    def __init__(self, episode: Episode):
        super().__init__(episode)
        self.opened = {"test": {"password": "test", "name": "test"}}

    def OpenBankAccount(self, account: str, password: str, name: str) -> str:
        """Open a bank account; the result is 'failed' if there is one of this name.

        Args:
            account: name of the new account.
            password: its password.
            name: the name of its owner.
        """
        if account in self.opened:
            return "failed"
        self.opened[account] = {"password": password, "name": name}
        return "success"

    def QueryBalance(self, token: str) -> float:
        """Tell the balance of a user.

        Args:
            token: the user's token.
        """
        try:
            user = self._episode.user(token)
        except RefusalError:
            refuse("The token is incorrect.")
        if user not in self._episode.library["Bank"]:
            refuse("The user does not have an account.")
        balance: float = self._episode.library["Bank"][user]["balance"]
        return balance
