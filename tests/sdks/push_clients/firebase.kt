// SPDX-License-Identifier: Apache-2.0
// As far as docs/push-clients.md uses it, declared by hand: https://firebase.google.com/docs/reference/android
package com.google.firebase.messaging

import android.app.Service

class RemoteMessage {
    val data: Map<String, String> get() = TODO()
}

abstract class FirebaseMessagingService : Service() {
    override val noBackupFilesDir get() = TODO()
    open fun onMessageReceived(message: RemoteMessage) {}
    open fun onNewToken(token: String) {}
}
