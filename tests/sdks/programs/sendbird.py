# SPDX-License-Identifier: Apache-2.0
"""sendbird-platform-sdk: a user made, changed, found, given a token and removed, and refusals."""

import time

import sendbird_platform_sdk as sdk
from exchange import failure, given, tell
from sendbird_platform_sdk.api.user_api import UserApi
from sendbird_platform_sdk.model.create_a_user_request import CreateAUserRequest
from sendbird_platform_sdk.model.create_user_token_request import CreateUserTokenRequest
from sendbird_platform_sdk.model.update_a_user_request import UpdateAUserRequest

users = UserApi(sdk.ApiClient(sdk.Configuration(host=given["base_url"].removesuffix("/v3"))))
key = {"api_token": given["api_token"]}


def refusal(user_id: str, **credentials: str) -> dict[str, object]:
    """How a look at this user is refused."""
    try:
        users.view_a_user(user_id, **credentials)
    except sdk.ApiException as error:
        return failure(error, "status", "body")
    return {}


asked = CreateAUserRequest(user_id="ann", nickname="Ann", profile_url="", metadata={"a": "b"}, discovery_keys=["k"])
made = users.create_a_user(create_a_user_request=asked, **key)
viewed = users.view_a_user("ann", **key)
changed = users.update_a_user("ann", update_a_user_request=UpdateAUserRequest(nickname="Anna"), **key)
ends = int((time.time() + 3600) * 1000)
token = users.create_user_token("ann", create_user_token_request=CreateUserTokenRequest(expires_at=ends), **key)
listed = users.list_users(**key)
users.delete_a_user("ann", **key)
tell(
    made=[made.user_id, made.nickname, made.is_active],
    viewed=viewed.nickname,
    changed=changed.nickname,
    token=[bool(token.token), token.expires_at == ends],
    listed=len(listed.users),
    missing=refusal("ann", **key),
    stranger=refusal("ann", api_token="wrong"),
)
