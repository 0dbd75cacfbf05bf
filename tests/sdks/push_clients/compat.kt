// SPDX-License-Identifier: Apache-2.0
// As far as docs/push-clients.md uses it, declared by hand: https://developer.android.com/reference
package androidx.core.app

import android.app.Notification
import android.app.PendingIntent
import android.content.Context
import android.graphics.Bitmap

class NotificationCompat {
    abstract class Style

    class BigPictureStyle : Style() {
        fun bigPicture(picture: Bitmap?): BigPictureStyle = TODO()
    }

    class Builder(context: Context, channelId: String) {
        fun setSmallIcon(icon: Int): Builder = TODO()
        fun setContentTitle(title: CharSequence?): Builder = TODO()
        fun setContentIntent(intent: PendingIntent?): Builder = TODO()
        fun setAutoCancel(autoCancel: Boolean): Builder = TODO()
        fun setLargeIcon(icon: Bitmap?): Builder = TODO()
        fun setStyle(style: Style?): Builder = TODO()
        fun build(): Notification = TODO()
    }
}
