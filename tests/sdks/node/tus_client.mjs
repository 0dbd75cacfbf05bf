// SPDX-License-Identifier: Apache-2.0
// tus-js-client sends a picture in pieces, breaks off, and goes on from what the server has.

import { Buffer } from "node:buffer";
import * as tus from "tus-js-client";

import { given, tell } from "./exchange.mjs";

const { endpoint, authorization, picture, to, chunk } = given;
const bytes = Buffer.from(picture, "base64");
const options = {
  endpoint,
  chunkSize: chunk,
  headers: { Authorization: authorization },
  metadata: { receiver_uid: String(to), caption: "by tus-js-client" },
  retryDelays: [0, 100, 500],
  urlStorage: undefined,
  storeFingerprintForResuming: false,
};

const begun = await new Promise((resolve, reject) => {
  const upload = new tus.Upload(bytes, {
    ...options,
    onError: reject,
    onChunkComplete: (_size, accepted) => {
      if (accepted > 0) upload.abort().then(() => resolve({ url: upload.url, accepted }));
    },
  });
  upload.start();
});

const seen = [];
const key = await new Promise((resolve, reject) => {
  const upload = new tus.Upload(bytes, {
    ...options,
    uploadUrl: begun.url,
    onError: reject,
    onChunkComplete: (_size, accepted) => seen.push(accepted),
    onAfterResponse: (_request, response) => {
      if (response.getHeader("Message-Key")) upload.key = response.getHeader("Message-Key");
    },
    onSuccess: () => resolve(upload.key),
  });
  upload.start();
});

tell({ began: begun.accepted, seen, key });
