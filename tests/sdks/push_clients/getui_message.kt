// SPDX-License-Identifier: Apache-2.0
// As far as docs/push-clients.md uses it, declared by hand: https://docs.getui.com/getui/mobile/android
package com.igexin.sdk.message

class GTTransmitMessage {
    val payload: ByteArray get() = TODO()
}
