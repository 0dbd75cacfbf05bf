// SPDX-License-Identifier: Apache-2.0

// Two people by types that openapi-typescript made of the interface description: one sends the other a picture, who
// learns of it, fetches it and says so.

import createClient from "openapi-fetch";
import type { components, paths } from "./glimpse.js";

type Account = components["schemas"]["Account"];

export interface Found {
  uids: number[];
  refused: [number, string];
  event: [string, number | null | undefined];
  waiting: boolean[];
  fetched: string;
  state: string;
}

export async function live(url: string, numbers: [string, string], picture: Uint8Array): Promise<Found> {
  const ann = await register(url, numbers[0]);
  const ben = await register(url, numbers[1]);
  const asAnn = signedIn(url, ann);
  const asBen = signedIn(url, ben);

  const send = (receiver_uid: number) =>
    asAnn.POST("/v1/images", {
      // The generator writes bytes as text; what is sent is the form.
      body: { img_file: "", receiver_uid },
      bodySerializer: () => form(picture, receiver_uid),
    });
  const refused = (await send(2 ** 40)).error;
  if (refused === undefined) throw new Error("nobody was sent to");
  await send(ben.uid);

  const events = (await asBen.GET("/v1/events", { params: { query: { after: 0 } } })).data?.items ?? [];
  const event = events.find((each): each is components["schemas"]["ImageEvent"] => each.type === "image");
  const message_key = event?.data.message_key;
  if (event === undefined || message_key === undefined) throw new Error("no event says where the image is");
  const waiting = (await asBen.GET("/v1/inbox")).data?.items ?? [];
  const path = { message_key };
  const fetched = await asBen.GET("/v1/images/{message_key}", {
    params: { path, query: { ack: "manual" } },
    parseAs: "arrayBuffer",
  });
  await asBen.DELETE("/v1/images/{message_key}", { params: { path } });
  const status = (await asAnn.GET("/v1/images/{message_key}/status", { params: { path } })).data;
  return {
    uids: [ann.uid, ben.uid],
    refused: [refused.status, refused.code],
    event: [event.type, event.data.sender_uid],
    waiting: waiting.map((item) => item.message_key === message_key),
    fetched: Buffer.from(fetched.data as unknown as ArrayBuffer).toString("base64"),
    state: status?.state ?? "",
  };
}

async function register(url: string, phone_num: string): Promise<Account> {
  const { data } = await createClient<paths>({ baseUrl: url }).POST("/v1/register", {
    body: { phone_num, nickname: "Ann" },
  });
  const { uid, ukey, phone_hash } = data ?? {};
  if (uid === undefined || ukey === undefined || phone_hash === undefined) throw new Error("no account");
  return { uid, ukey, phone_hash };
}

function signedIn(url: string, { phone_hash, ukey }: Account) {
  const proof = Buffer.from(`${phone_hash}:${ukey}`).toString("base64");
  return createClient<paths>({ baseUrl: url, headers: { Authorization: `Basic ${proof}` } });
}

function form(picture: Uint8Array, receiver_uid: number): FormData {
  const fields = new FormData();
  fields.append("img_file", new Blob([new Uint8Array(picture)], { type: "image/png" }), "x.png");
  fields.append("receiver_uid", String(receiver_uid));
  return fields;
}
