// SPDX-License-Identifier: Apache-2.0
// As far as docs/mobile.md uses it, declared by hand: https://developer.android.com/reference
package androidx.work

import android.content.Context
import java.util.concurrent.TimeUnit

enum class BackoffPolicy { EXPONENTIAL, LINEAR }
enum class ExistingWorkPolicy { REPLACE, KEEP, APPEND, APPEND_OR_REPLACE }
enum class NetworkType { NOT_REQUIRED, CONNECTED, UNMETERED }

class Constraints {
    class Builder {
        fun setRequiredNetworkType(type: NetworkType): Builder = TODO()
        fun build(): Constraints = TODO()
    }
}

class Data {
    fun getString(key: String): String? = TODO()
    fun getLong(key: String, defaultValue: Long): Long = TODO()
}

fun workDataOf(vararg pairs: Pair<String, Any?>): Data = TODO()

class OneTimeWorkRequest {
    class Builder {
        fun setConstraints(constraints: Constraints): Builder = TODO()
        fun setBackoffCriteria(policy: BackoffPolicy, delay: Long, unit: TimeUnit): Builder = TODO()
        fun setInputData(data: Data): Builder = TODO()
        fun build(): OneTimeWorkRequest = TODO()
    }
}

inline fun <reified W : ListenableWorker> OneTimeWorkRequestBuilder(): OneTimeWorkRequest.Builder = TODO()

abstract class WorkManager {
    abstract fun enqueueUniqueWork(name: String, policy: ExistingWorkPolicy, work: OneTimeWorkRequest)

    companion object {
        fun getInstance(context: Context): WorkManager = TODO()
    }
}

class WorkerParameters

abstract class ListenableWorker(context: Context, parameters: WorkerParameters) {
    val applicationContext: Context get() = TODO()
    val inputData: Data get() = TODO()

    abstract class Result {
        companion object {
            fun success(): Result = TODO()
            fun retry(): Result = TODO()
            fun failure(): Result = TODO()
        }
    }
}

abstract class Worker(context: Context, parameters: WorkerParameters) : ListenableWorker(context, parameters) {
    abstract fun doWork(): Result
}
