// SPDX-License-Identifier: Apache-2.0
// As far as docs/push-clients.md uses it, declared by hand: https://developer.android.com/reference
package android.app

import android.content.Context
import android.content.Intent

abstract class Service : Context() {
    val application: Application get() = TODO()
}

open class Application : Context() {
    override val noBackupFilesDir get() = TODO()
}

open class Activity

class Notification

class NotificationManager {
    fun notify(tag: String?, id: Int, notification: Notification) {}
    fun cancelAll() {}
}

class PendingIntent {
    companion object {
        const val FLAG_IMMUTABLE = 1
        const val FLAG_UPDATE_CURRENT = 2
        fun getActivity(context: Context, requestCode: Int, intent: Intent, flags: Int): PendingIntent = TODO()
    }
}
