// SPDX-License-Identifier: Apache-2.0
// As far as docs/push-clients.md uses it, declared by hand: https://docs.getui.com/getui/mobile/android
package com.igexin.sdk

import android.app.Service
import android.content.Context
import com.igexin.sdk.message.GTTransmitMessage

abstract class GTIntentService : Service() {
    override val noBackupFilesDir get() = TODO()
    open fun onReceiveMessageData(context: Context, message: GTTransmitMessage) {}
    open fun onReceiveClientId(context: Context, clientid: String) {}
}
