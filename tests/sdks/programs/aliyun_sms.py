# SPDX-License-Identifier: Apache-2.0
"""alibabacloud-dysmsapi20170525: SendSms by both of its ways, and refusals."""

import asyncio

from alibabacloud_dysmsapi20170525.client import Client
from alibabacloud_dysmsapi20170525.models import SendSmsRequest
from alibabacloud_tea_openapi.models import Config
from exchange import failure, given, tell


def client(secret: str) -> Client:
    config = Config(access_key_id=given["access_key_id"], access_key_secret=secret, protocol="http")
    config.endpoint = given["base_url"].removeprefix("http://")
    return Client(config)


def request(number: str, **changes: str) -> SendSmsRequest:
    said = {"sign_name": given["sign_name"], "template_code": given["template_code"]}
    return SendSmsRequest(phone_numbers=number, **{**said, "template_param": '{"code":"123456"}', **changes})


def code(secret: str, asked: SendSmsRequest) -> object:
    try:
        return client(secret).send_sms(asked).body.code
    except Exception as error:  # noqa: BLE001 - whatever the client makes of a refusal
        return failure(error, "code")


secret = given["access_key_secret"]
plain = client(secret).send_sms(request("13800138000"))
later = asyncio.run(client(secret).send_sms_async(request("8613800138001,14155552671", out_id="7")))
tell(
    plain=[plain.status_code, plain.body.code, bool(plain.body.biz_id), bool(plain.body.request_id)],
    later=later.body.code,
    again=code(secret, request("+8613800138000")),
    unsigned=code(secret, request("13800138002", sign_name="Other")),
    wrong=code("wrong", request("13800138002")),
)
