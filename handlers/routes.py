# SPDX-License-Identifier: Apache-2.0
"""The route table: every operation of the HTTP interface, who may call it and which limit counts it."""

import re
from dataclasses import dataclass

from handlers.accounts import (
    ActivationHandler,
    ActivationResendHandler,
    ExportHandler,
    MeHandler,
    RegisterHandler,
    UkeyHandler,
    UserHandler,
)
from handlers.base import BaseHandler
from handlers.chat import ChatTokenHandler
from handlers.devices import DeviceHandler, DevicePushesHandler, DevicesHandler, TestPushHandler
from handlers.events import EventsHandler, EventStreamHandler
from handlers.groups import GroupHandler, GroupJoinHandler, GroupMemberHandler, GroupsHandler
from handlers.images import AcknowledgeHandler, ImageHandler, ImageStatusHandler, InboxHandler, OldestImageHandler
from handlers.messages import ConversationsHandler, MessageHandler, MessagesHandler, ReadMarkHandler
from handlers.people import (
    BlockHandler,
    BlocksHandler,
    DiscoverHandler,
    FriendAcceptHandler,
    FriendHandler,
    FriendsHandler,
    ReportsHandler,
)
from handlers.samples.agora import AgoraLoginHandler, AgoraRegisterHandler, AgoraTokenHandler
from handlers.samples.rooms import (
    RoomCreateHandler,
    RoomHistoryHandler,
    RoomLoginHandler,
    RoomMessageHandler,
    RoomRegisterHandler,
)
from handlers.samples.sendbird import SendbirdSignupHandler
from handlers.sending import SendImageHandler
from handlers.shared import Who
from handlers.socket import EventSocketHandler
from handlers.system import (
    DescriptionHandler,
    DocsHandler,
    HealthHandler,
    QrHandler,
    ReadyHandler,
    RootHandler,
    VapidHandler,
)
from handlers.thumbnails import ThumbnailHandler, TokenThumbnailHandler
from handlers.tokens import (
    CredentialsHandler,
    LoginHandler,
    LogoutHandler,
    PasswordHandler,
    RefreshHandler,
    SignupHandler,
    TokensHandler,
)
from handlers.uploading import UploadHandler, UploadOptionsHandler, UploadsHandler, UploadThumbnailHandler

ANYBODY, PERSON, FORM, FRAME, SESSION = Who


WITHOUT_ROOM = frozenset(
    (
        *("logIn", "openSession", "refreshTokens", "logOut", "agoraLogIn", "roomLogIn"),
        *("changePassword", "putCredentials", "renewUkey", "patchMe", "blockPerson"),
    )
)
"""What writes and goes on when a disk is full, as all removals do: people get in, and can defend and free themselves.
"""


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `limit` names the class of `models.rates` that is counted before the handler runs; a service may
    count others, as sending does.

    `operation_id` names its description in `operations/*.yaml`, and its method in generated clients.

    A `sample` is there only where `samples.enabled` is on.
    """

    method: str
    path: str
    handler: type[BaseHandler]
    who: Who
    limit: str
    operation_id: str
    sample: bool = False

    @property
    def needs_room(self) -> bool:
        """Whether it is refused while too little is free on a disk."""
        return self.method in ("POST", "PUT", "PATCH") and self.operation_id not in WITHOUT_ROOM

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))


ROUTES = (
    Route("GET", "/", RootHandler, ANYBODY, "default", "root"),
    Route("GET", "/healthz", HealthHandler, ANYBODY, "default", "healthz"),
    Route("HEAD", "/healthz", HealthHandler, ANYBODY, "default", "headHealthz"),
    Route("GET", "/readyz", ReadyHandler, ANYBODY, "default", "readyz"),
    Route("HEAD", "/readyz", ReadyHandler, ANYBODY, "default", "headReadyz"),
    Route("GET", "/openapi.json", DescriptionHandler, ANYBODY, "default", "openapi"),
    Route("GET", "/docs", DocsHandler, ANYBODY, "default", "docs"),
    Route("GET", "/v1/push/vapid", VapidHandler, ANYBODY, "default", "vapidKey"),
    Route("GET", "/v1/qr", QrHandler, PERSON, "qr_code", "qrCode"),
    Route("POST", "/v1/register", RegisterHandler, ANYBODY, "register", "register"),
    Route("POST", "/v1/activations/{activation_id}", ActivationHandler, ANYBODY, "code", "activate"),
    Route("POST", "/v1/activations/{activation_id}/resend", ActivationResendHandler, ANYBODY, "code", "resendCode"),
    Route("POST", "/v1/signup", SignupHandler, ANYBODY, "register", "signUp"),
    Route("POST", "/v1/login", LoginHandler, ANYBODY, "login", "logIn"),
    Route("POST", "/v1/tokens", TokensHandler, PERSON, "default", "openSession"),
    Route("POST", "/v1/tokens/refresh", RefreshHandler, ANYBODY, "default", "refreshTokens"),
    Route("POST", "/v1/logout", LogoutHandler, PERSON, "default", "logOut"),
    Route("PUT", "/v1/me/password", PasswordHandler, PERSON, "password", "changePassword"),
    Route("PUT", "/v1/me/credentials", CredentialsHandler, PERSON, "password", "putCredentials"),
    Route("GET", "/v1/me", MeHandler, PERSON, "default", "getMe"),
    Route("PATCH", "/v1/me", MeHandler, PERSON, "default", "patchMe"),
    Route("DELETE", "/v1/me", MeHandler, PERSON, "default", "deleteMe"),
    Route("GET", "/v1/me/export", ExportHandler, PERSON, "export", "exportMe"),
    Route("POST", "/v1/me/ukey", UkeyHandler, PERSON, "default", "renewUkey"),
    Route("GET", "/v1/users/{uid}", UserHandler, PERSON, "default", "getUser"),
    Route("POST", "/v1/contacts/discover", DiscoverHandler, PERSON, "default", "discoverContacts"),
    Route("POST", "/v1/friends", FriendsHandler, PERSON, "befriend", "befriend"),
    Route("GET", "/v1/friends", FriendsHandler, PERSON, "default", "listFriends"),
    Route("POST", "/v1/friends/{uid}/accept", FriendAcceptHandler, PERSON, "default", "acceptFriend"),
    Route("DELETE", "/v1/friends/{uid}", FriendHandler, PERSON, "default", "deleteFriend"),
    Route("GET", "/v1/blocks", BlocksHandler, PERSON, "default", "listBlocks"),
    Route("PUT", "/v1/blocks/{uid}", BlockHandler, PERSON, "default", "blockPerson"),
    Route("DELETE", "/v1/blocks/{uid}", BlockHandler, PERSON, "default", "unblockPerson"),
    Route("POST", "/v1/reports", ReportsHandler, PERSON, "report", "report"),
    Route("POST", "/v1/groups", GroupsHandler, PERSON, "group", "createGroup"),
    Route("GET", "/v1/groups", GroupsHandler, PERSON, "default", "listGroups"),
    Route("POST", "/v1/groups/join", GroupJoinHandler, PERSON, "group", "joinGroup"),
    Route("GET", "/v1/groups/{group_id}", GroupHandler, PERSON, "default", "getGroup"),
    Route("PATCH", "/v1/groups/{group_id}", GroupHandler, PERSON, "message", "patchGroup"),
    Route("DELETE", "/v1/groups/{group_id}", GroupHandler, PERSON, "default", "deleteGroup"),
    Route("PUT", "/v1/groups/{group_id}/members/{uid}", GroupMemberHandler, PERSON, "message", "putGroupMember"),
    Route("DELETE", "/v1/groups/{group_id}/members/{uid}", GroupMemberHandler, PERSON, "message", "deleteGroupMember"),
    Route("POST", "/v1/images", SendImageHandler, FORM, "default", "sendImage"),
    Route("GET", "/v1/images", OldestImageHandler, PERSON, "default", "fetchOldestImage"),
    Route("HEAD", "/v1/images", OldestImageHandler, PERSON, "default", "headOldestImage"),
    Route("GET", "/v1/images/{message_key}", ImageHandler, PERSON, "default", "fetchImage"),
    Route("HEAD", "/v1/images/{message_key}", ImageHandler, PERSON, "default", "headImage"),
    Route("DELETE", "/v1/images/{message_key}", AcknowledgeHandler, PERSON, "default", "deleteImage"),
    Route("GET", "/v1/images/{message_key}/thumbnail", ThumbnailHandler, PERSON, "default", "fetchThumbnail"),
    Route("GET", "/v1/thumbnails/{token}", TokenThumbnailHandler, ANYBODY, "thumbnail", "showThumbnail"),
    Route("GET", "/v1/images/{message_key}/status", ImageStatusHandler, PERSON, "default", "imageStatus"),
    Route("OPTIONS", "/v1/uploads", UploadOptionsHandler, ANYBODY, "default", "uploadsOptions"),
    Route("POST", "/v1/uploads", UploadsHandler, PERSON, "default", "beginUpload"),
    Route("OPTIONS", "/v1/uploads/{upload_id}", UploadOptionsHandler, ANYBODY, "default", "uploadOptions"),
    Route("HEAD", "/v1/uploads/{upload_id}", UploadHandler, PERSON, "default", "headUpload"),
    Route("PATCH", "/v1/uploads/{upload_id}", UploadHandler, PERSON, "default", "continueUpload"),
    Route("DELETE", "/v1/uploads/{upload_id}", UploadHandler, PERSON, "default", "dropUpload"),
    Route("PUT", "/v1/uploads/{upload_id}/thumbnail", UploadThumbnailHandler, PERSON, "default", "putUploadThumbnail"),
    Route("GET", "/v1/inbox", InboxHandler, PERSON, "default", "inbox"),
    Route("POST", "/v1/messages", MessagesHandler, PERSON, "default", "sendMessage"),
    Route("GET", "/v1/messages", MessagesHandler, PERSON, "default", "listMessages"),
    Route("DELETE", "/v1/messages/{message_id}", MessageHandler, PERSON, "default", "deleteMessage"),
    Route("GET", "/v1/conversations", ConversationsHandler, PERSON, "default", "listConversations"),
    Route("PUT", "/v1/conversations/{conversation}/read", ReadMarkHandler, PERSON, "message", "markRead"),
    Route("GET", "/v1/events", EventsHandler, PERSON, "default", "listEvents"),
    Route("GET", "/v1/events/stream", EventStreamHandler, PERSON, "default", "streamEvents"),
    Route("GET", "/v1/events/ws", EventSocketHandler, FRAME, "default", "socketEvents"),
    Route("GET", "/v1/devices", DevicesHandler, PERSON, "default", "listDevices"),
    Route("POST", "/v1/devices", DevicesHandler, PERSON, "device", "registerDevice"),
    Route("PUT", "/v1/devices/{device_id}", DeviceHandler, PERSON, "device", "replaceDeviceToken"),
    Route("DELETE", "/v1/devices/{device_id}", DeviceHandler, PERSON, "default", "deleteDevice"),
    Route("POST", "/v1/devices/{device_id}/test-push", TestPushHandler, PERSON, "test_push", "testPush"),
    Route("GET", "/v1/devices/{device_id}/pushes", DevicePushesHandler, PERSON, "default", "listPushes"),
    Route("POST", "/v1/chat/token", ChatTokenHandler, PERSON, "chat_token", "chatToken"),
    Route("POST", "/signup", SendbirdSignupHandler, ANYBODY, "register", "sendbirdSignUp", sample=True),
    Route("POST", "/app/user/register", AgoraRegisterHandler, ANYBODY, "register", "agoraRegister", sample=True),
    Route("POST", "/app/user/login", AgoraLoginHandler, ANYBODY, "login", "agoraLogIn", sample=True),
    Route("GET", "/token", AgoraTokenHandler, ANYBODY, "default", "agoraToken", sample=True),
    Route("POST", "/register", RoomRegisterHandler, ANYBODY, "register", "roomRegister", sample=True),
    Route("POST", "/login", RoomLoginHandler, ANYBODY, "login", "roomLogIn", sample=True),
    Route("POST", "/create-room", RoomCreateHandler, SESSION, "group", "createRoom", sample=True),
    Route("POST", "/send-message", RoomMessageHandler, SESSION, "default", "sendRoomMessage", sample=True),
    Route("GET", "/get-room-history", RoomHistoryHandler, SESSION, "default", "roomHistory", sample=True),
)
