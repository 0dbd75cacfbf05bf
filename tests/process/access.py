# SPDX-License-Identifier: Apache-2.0
"""Who may ask for which operation: the table that `test_access_matrix` holds the route table against."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.pictures import jpeg

NOBODY_HAS = {
    "image": "0" * 64,
    "group_image": "0" * 64,
    "group": "987654321",
    "device": "987654321",
    "upload": "0" * 32,
    "message": "987654321",
    "text": "987654321",
    "ann": "987654321",
    "ann_hash": "0" * 64,
    "request_to_ann": "987654321",
}
PEOPLE = ("ann", "admin", "member", "stranger", "blocked", "ex_friend", "ex_member")
"""`ann` owns the group, has sent the images, and has the device. `ex_member` was there when the group's came."""


@dataclass(frozen=True)
class Access:
    """One way to ask for an operation, and who gets what. Values in braces are of the world.

    `may` get through and `forbidden` are told 403, since they know of the thing; to all others it is not there.
    `spent_by_use`: what is asked for is gone or changed afterwards, so nobody who may is let try.
    """

    at: Mapping[str, str] = field(default_factory=dict)
    send: Mapping[str, Any] = field(default_factory=dict)
    may: tuple[str, ...] = PEOPLE
    forbidden: tuple[str, ...] = ()
    spent_by_use: bool = False


GROUP = {"group_id": "{group}"}
MEMBER = {**GROUP, "uid": "{stranger_uid}"}
UPLOAD = {"upload_id": "{upload}"}
TUS_PIECE = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
DEVICE = {"device_id": "{device}"}
ANN = {"uid": "{ann}"}
NO_ACTIVATION = {"activation_id": "0" * 32}
INSIDE = ("ann", "admin", "member")
OPEN = Access()
OWN = Access()
"""Of nobody but the caller: there is nothing of others to be asked for."""

ACCESS: dict[str, tuple[Access, ...]] = {
    **dict.fromkeys(("root", "healthz", "headHealthz", "readyz", "headReadyz", "openapi", "docs", "vapidKey"), (OPEN,)),
    "showThumbnail": (Access({"token": "A" * 56}, may=()),),
    **dict.fromkeys(("register", "activate", "resendCode", "signUp", "logIn", "refreshTokens"), (OPEN,)),
    **dict.fromkeys(
        ("sendbirdSignUp", "agoraRegister", "agoraLogIn", "agoraToken", "roomRegister", "roomLogIn"), (OPEN,)
    ),
    # A room_gid lets in whoever has it, and without a session of the sample's nobody has any way in: process/samples.
    **dict.fromkeys(("createRoom", "sendRoomMessage", "roomHistory"), (OWN,)),
    **dict.fromkeys(
        (
            "getMe",
            "qrCode",
            "inbox",
            "listFriends",
            "listBlocks",
            "listGroups",
            "listConversations",
            "listDevices",
            "exportMe",
            "listEvents",
            "streamEvents",
            "socketEvents",
        ),
        (OWN,),
    ),
    **dict.fromkeys(
        (
            "patchMe",
            "deleteMe",
            "renewUkey",
            "openSession",
            "logOut",
            "changePassword",
            "putCredentials",
            "discoverContacts",
            "createGroup",
            "registerDevice",
            "chatToken",
        ),
        (replace(OWN, spent_by_use=True),),
    ),
    "getUser": (Access(ANN),),
    # The blocked side cannot tell: to them and to strangers it is the same request.
    "befriend": (Access(send={"json": {"uid": "{ann}"}}, spent_by_use=True),),
    "acceptFriend": (Access({"uid": "{request_to_ann}"}, may=("ann",), spent_by_use=True),),
    "deleteFriend": (Access(ANN, may=(), spent_by_use=True),),
    "blockPerson": (Access(ANN, spent_by_use=True),),
    "unblockPerson": (Access(ANN, may=(), spent_by_use=True),),
    "report": (Access(send={"json": {"message_id": "{message}", "reason": "x"}}, may=("member",)),),
    "joinGroup": (Access(send={"json": {"room_gid": "{room}"}}, may=INSIDE),),
    "getGroup": (Access(GROUP, may=INSIDE),),
    "patchGroup": (
        Access(GROUP, {"json": {"name": "Three"}}, may=("ann", "admin"), forbidden=("member",)),
        Access(GROUP, {"json": {}}, may=("ann", "admin"), forbidden=("member",)),
    ),
    "deleteGroup": (Access(GROUP, may=("ann",), forbidden=("admin", "member"), spent_by_use=True),),
    "putGroupMember": (
        Access(MEMBER, {"json": {"role": "member"}}, may=("ann", "admin"), forbidden=("member",), spent_by_use=True),
        Access(MEMBER, {"json": {"role": "admin"}}, may=("ann",), forbidden=("admin", "member"), spent_by_use=True),
    ),
    "deleteGroupMember": (
        Access({**GROUP, "uid": "{ann}"}, may=("ann",), forbidden=("admin", "member"), spent_by_use=True),
    ),
    "sendImage": (Access(send={"data": {"receiver_uid": "{ann}"}, "files": {"img_file": jpeg()}}, spent_by_use=True),),
    "fetchOldestImage": (
        Access(send={"params": {"sender_phone": "{ann_hash}", "receiver_phone": "{member_hash}"}}, may=("member",)),
    ),
    "headOldestImage": (
        Access(send={"params": {"sender_phone": "{ann_hash}", "receiver_phone": "{member_hash}"}}, may=("member",)),
    ),
    "fetchImage": (
        Access({"message_key": "{image}"}, {"params": {"ack": "manual"}}, may=("member",)),
        Access({"message_key": "{group_image}"}, {"params": {"ack": "manual"}}, may=("admin", "member")),
    ),
    "headImage": (
        Access({"message_key": "{image}"}, may=("member",)),
        Access({"message_key": "{group_image}"}, may=("admin", "member")),
    ),
    "fetchThumbnail": (
        Access({"message_key": "{image}"}, may=("member",)),
        Access({"message_key": "{group_image}"}, may=("admin", "member")),
    ),
    "deleteImage": (
        Access({"message_key": "{image}"}, may=("ann", "member"), spent_by_use=True),
        Access({"message_key": "{group_image}"}, may=("ann", "admin", "member"), spent_by_use=True),
    ),
    "imageStatus": (
        Access({"message_key": "{image}"}, may=("ann",)),
        Access({"message_key": "{group_image}"}, may=("ann",)),
    ),
    "uploadsOptions": (OPEN,),
    "uploadOptions": (Access(UPLOAD),),
    "beginUpload": (Access(send={"params": {"receiver_uid": "{ann}"}, "content": jpeg()}, spent_by_use=True),),
    "headUpload": (Access(UPLOAD, may=("ann",)),),
    "continueUpload": (
        Access(
            UPLOAD, {"headers": {**TUS_PIECE, "Upload-Offset": "0"}, "content": b"x"}, may=("ann",), spent_by_use=True
        ),
    ),
    "dropUpload": (Access(UPLOAD, may=("ann",), spent_by_use=True),),
    "putUploadThumbnail": (Access(UPLOAD, {"content": jpeg(600, width=64, height=48)}, may=("ann",)),),
    "sendMessage": (
        Access(send={"json": {"receiver_uid": "{ann}", "kind": "text", "text": "x"}}, spent_by_use=True),
        Access(send={"json": {"group_id": "{group}", "kind": "text", "text": "x"}}, may=INSIDE, spent_by_use=True),
    ),
    "listMessages": (
        Access(send={"params": {"group_id": "{group}"}}, may=INSIDE),
        Access(send={"params": {"group_id": "{group}", "page": "1"}}, may=INSIDE),
    ),
    "markRead": (
        Access({"conversation": "{ann}"}, {"json": {"up_to": "{text}"}}, may=("member",)),
        Access({"conversation": "g{group}"}, {"json": {"up_to": "{text}"}}, may=INSIDE),
    ),
    "deleteMessage": (Access({"message_id": "{text}"}, may=("ann",), spent_by_use=True),),
    "replaceDeviceToken": (
        Access(DEVICE, {"json": {"token": "new"}}, may=("ann",)),
        Access(DEVICE, {"json": {}}, may=("ann",), spent_by_use=True),
    ),
    "deleteDevice": (Access(DEVICE, may=("ann",), spent_by_use=True),),
    "testPush": (Access(DEVICE, may=("ann",)),),
    "listPushes": (Access(DEVICE, may=("ann",)),),
}
TELLS_NOBODY = {
    "befriend",
    "blockPerson",
    "getUser",
    "deleteFriend",
    "unblockPerson",
    "sendImage",
    "sendMessage",
    "beginUpload",
}
"""Asked of a person, not of a thing that is somebody's; what they tell is looked at below."""
