// SPDX-License-Identifier: Apache-2.0
// As far as docs/push-clients.md uses it, declared by hand: https://unifiedpush.org/kdoc/connector
package org.unifiedpush.android.connector

import android.app.Service
import org.unifiedpush.android.connector.data.PushEndpoint
import org.unifiedpush.android.connector.data.PushMessage

enum class FailedReason { INTERNAL_ERROR, NETWORK, ACTION_REQUIRED, VAPID_REQUIRED }

abstract class PushService : Service() {
    override val noBackupFilesDir get() = TODO()
    abstract fun onMessage(message: PushMessage, instance: String)
    abstract fun onNewEndpoint(endpoint: PushEndpoint, instance: String)
    abstract fun onRegistrationFailed(reason: FailedReason, instance: String)
    abstract fun onUnregistered(instance: String)
}
