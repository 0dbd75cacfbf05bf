// SPDX-License-Identifier: Apache-2.0
// As far as docs/push-clients.md uses it, declared by hand: https://unifiedpush.org/kdoc/connector
package org.unifiedpush.android.connector.data

class PublicKeySet(val pubKey: String, val auth: String)

class PushEndpoint(val url: String, val pubKeySet: PublicKeySet?)

class PushMessage(val content: ByteArray, val decrypted: Boolean)
